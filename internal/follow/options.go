package follow

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"millpond/internal/deb"
)

// architectures reads the field of that name.
func (e *Entry) architectures(list string) error {
	names, err := parseNames("architecture", list)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case name == deb.Source:
			e.Sources = true
		case strings.ContainsAny(name, "/._+~"):
			return fmt.Errorf("%.80q is no architecture, such as amd64, or source", name)
		default:
			e.Architectures = append(e.Architectures, name)
		}
	}
	return nil
}

// option reads an option.
func (e *Entry) option(o string) error {
	name, value, assigned := strings.Cut(o, "=")
	if kind, term, ok := strings.Cut(o, ":"); ok && (!assigned || len(kind) < len(name)) {
		return e.term(Term{kind, term})
	}
	switch name {
	case "depth":
		d := Depth(value)
		if d == Selected || !slices.Contains(depths, d) {
			return fmt.Errorf("depth=%.80s; it is indices, used or all, and terms such as section:admin select packages", value)
		}
		e.Depth = d
		return nil
	case "dated":
		l, err := parseDir(value)
		if err == nil {
			e.Dated = l
		}
		return err
	}
	return fmt.Errorf("%.80q is no option; those with = are depth and dated", o)
}

// term adds a term of the selection.
func (e *Entry) term(t Term) error {
	switch t.Kind {
	case "list":
		if !path.IsAbs(t.Value) {
			return fmt.Errorf("%.200q names no file by its absolute path, such as list:/etc/millpond/packages", t)
		}
	case "section", "priority", "package":
		if t.Value == "" {
			return fmt.Errorf("%q selects nothing; write a name behind it", t)
		}
	default:
		return fmt.Errorf("%.80q is no option; section:, priority:, package: and list: select packages", t)
	}
	e.Terms = append(e.Terms, t)
	return nil
}

// settle finds what does not go together, and makes terms the depth.
func (e *Entry) settle(options []string) error {
	count := func(prefix string) (n int) {
		for _, o := range options {
			if strings.HasPrefix(o, prefix) {
				n++
			}
		}
		return n
	}
	switch {
	case count("depth=") > 1, count("dated=") > 1:
		return errors.New("an option with = comes twice; leave one out")
	case len(e.Terms) > 0 && count("depth=") > 0:
		return errors.New("a depth beside terms that select packages; leave one of them out")
	case len(e.Terms) > 0:
		e.Depth = Selected
	}
	return nil
}
