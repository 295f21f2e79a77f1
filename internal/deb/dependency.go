package deb

import (
	"errors"
	"fmt"
	"strings"
)

// A Relation names what satisfies a dependency: a package, of a version if Op
// is not empty.
type Relation struct {
	Package string
	// Arch is what follows the name after a colon: "any", "native", an
	// architecture or, mostly, nothing.
	Arch string
	Op   string // "<<", "<=", "=", ">=", ">>" or ""
	// Version is what Op compares with.
	Version string
}

// A Dependency is a list of alternatives, the preferred one first.
type Dependency []Relation

// Allows reports whether a package of that version has the version that r asks for.
func (r Relation) Allows(version string) bool {
	if r.Op == "" {
		return true
	}
	switch c := CompareVersions(version, r.Version); r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	default:
		return c > 0
	}
}

// String writes r as a control file has it.
func (r Relation) String() string {
	s := r.Package
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + r.Version + ")"
	}
	return s
}

// String writes d as a control file has it.
func (d Dependency) String() string {
	all := make([]string, len(d))
	for i, r := range d {
		all[i] = r.String()
	}
	return strings.Join(all, " | ")
}

// ParseDependencies reads the value of a field such as Depends or Provides
// (Debian Policy, section 7.1). Of one that it cannot read in part it returns
// what it can, and an error that names the first part that it cannot. What only
// build dependencies have, lists of architectures and of profiles, is not read.
func ParseDependencies(field string) ([]Dependency, error) {
	var all []Dependency
	var fault error
	for part := range strings.SplitSeq(field, ",") {
		if strings.TrimSpace(part) == "" {
			continue // a comma at the end, which dpkg accepts too
		}
		d, err := parseDependency(part)
		if err != nil {
			if fault == nil {
				fault = fmt.Errorf("dependency %.80q: %w", strings.TrimSpace(part), err)
			}
			continue
		}
		all = append(all, d)
	}
	return all, fault
}

func parseDependency(s string) (Dependency, error) {
	d := make(Dependency, 0, 1+strings.Count(s, "|"))
	for alternative := range strings.SplitSeq(s, "|") {
		r, err := parseRelation(strings.TrimSpace(alternative))
		if err != nil {
			return nil, err
		}
		d = append(d, r)
	}
	return d, nil
}

func parseRelation(s string) (r Relation, err error) {
	name, rest := cutFunc(s, func(c byte) bool { return c == '(' || isSpace(c) })
	name, r.Arch, _ = strings.Cut(name, ":")
	if !isPackageName(name) {
		return Relation{}, fmt.Errorf("%.40q is no name of a package", name)
	}
	if r.Arch == "" && strings.Contains(s[:len(s)-len(rest)], ":") || r.Arch != "" && !isArchitecture(r.Arch) {
		return Relation{}, fmt.Errorf("%.40q is no name of an architecture", r.Arch)
	}
	r.Package = name
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return r, nil
	}
	inner, ok := strings.CutPrefix(rest, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !ok || !closed {
		return Relation{}, errors.New("what follows the name is no version in parentheses")
	}
	return r, r.parseVersion(strings.TrimSpace(inner))
}

// parseVersion reads a relation and a version. A single < or > is what <= and >= were
// in the format's first years, and dpkg and apt still read it so.
func (r *Relation) parseVersion(s string) error {
	version := strings.TrimLeft(s, "<>=")
	switch op := s[:len(s)-len(version)]; op {
	case "<<", "<=", "=", ">=", ">>":
		r.Op = op
	case "<", ">":
		r.Op = op + "="
	default:
		return fmt.Errorf("%.40q does not begin with <<, <=, =, >= or >>", s)
	}
	r.Version = strings.TrimSpace(version)
	if r.Version == "" || strings.ContainsFunc(r.Version, func(c rune) bool { return c <= ' ' || c > '~' || c == '(' || c == ')' }) {
		return fmt.Errorf("%.40q is no version", r.Version)
	}
	return nil
}

// cutFunc cuts s before the first byte that ends accepts.
func cutFunc(s string, ends func(byte) bool) (before, after string) {
	for i := range len(s) {
		if ends(s[i]) {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isArchitecture(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return s != ""
}
