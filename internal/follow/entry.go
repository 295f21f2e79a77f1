package follow

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
)

// Depth is how much of a followed suite the box fetches before clients ask for it.
type Depth string

const (
	Indices  Depth = "indices"  // what says which packages there are
	Used     Depth = "used"     // of packages, the new versions of those that clients use
	Selected Depth = "selected" // what the terms of the entry name, with what it depends on
	All      Depth = "all"
)

// depths are all of them, the least first.
var depths = []Depth{Indices, Used, Selected, All}

// deeper returns the one that fetches more.
func deeper(a, b Depth) Depth {
	if slices.Index(depths, a) > slices.Index(depths, b) {
		return a
	}
	return b
}

// Term selects packages.
type Term struct {
	Kind  string // section, priority, package or list
	Value string // a name, or of a list the absolute path of a file
}

// String is the term as it stands in a setting.
func (t Term) String() string { return t.Kind + ":" + t.Value }

// Entry is what a setting says to follow: suites of one archive.
type Entry struct {
	Archive       catalog.Location // directory of the archive
	Suites        []string         // as in sources.list; of a flat repository ./ or a directory that ends in /
	Components    []string         // none of a flat repository
	Architectures []string         // without source
	Sources       bool
	Depth         Depth
	Terms         []Term // of depth Selected
	// Dated has the archive as it was: below it, a directory for each time, such as
	// 20260131T235959Z. Zero for none.
	Dated catalog.Location
}

// Flat reports whether the entry is for a flat repository.
func (e Entry) Flat() bool { return strings.HasSuffix(e.Suites[0], "/") }

// Dirs returns the directories of the entry's suites.
func (e Entry) Dirs() []catalog.Location {
	dirs := make([]catalog.Location, 0, len(e.Suites))
	for _, s := range e.Suites {
		if e.Flat() {
			dirs = append(dirs, e.Archive.Join(s))
		} else {
			dirs = append(dirs, e.Archive.Join("dists/"+s))
		}
	}
	return dirs
}

// Suite is the suite in that directory as the entry names it.
func (e Entry) Suite(dir catalog.Location) string {
	if i := slices.Index(e.Dirs(), dir); i >= 0 {
		return e.Suites[i]
	}
	return ""
}

// Wanted are the indices that the entry names of each suite.
func (e Entry) Wanted() catalog.Wanted {
	return catalog.Wanted{Components: e.Components, Architectures: e.Architectures, Sources: e.Sources}
}

// String is the entry as Parse reads it.
func (e Entry) String() string {
	fields := []string{urlOf(e.Archive), strings.Join(e.Suites, ",")}
	if !e.Flat() {
		fields = append(fields, strings.Join(e.Components, ","))
	}
	archs := slices.Clone(e.Architectures)
	if e.Sources {
		archs = append(archs, deb.Source)
	}
	fields = append(fields, strings.Join(archs, ","))
	switch e.Depth {
	case Used:
	case Selected:
		for _, t := range e.Terms {
			fields = append(fields, t.String())
		}
	default:
		fields = append(fields, "depth="+string(e.Depth))
	}
	if e.Dated != (catalog.Location{}) {
		fields = append(fields, "dated="+urlOf(e.Dated))
	}
	return strings.Join(fields, " ")
}

// urlOf is the URL of a directory without what would end an entry.
func urlOf(l catalog.Location) string { return strings.ReplaceAll(l.String(), ";", "%3B") }

// example is shown where an entry has the wrong form.
const example = `write "URL SUITES COMPONENTS ARCHITECTURES [options]", such as "http://archive.example.org/debian bookworm main amd64,source"; for a flat repository "http://archive.example.org/flat ./ amd64"`

// Parse reads entries that are separated by semicolons or line ends. The error has all
// faults in a line, each with its entry and the cure.
func Parse(s string) ([]Entry, error) {
	var entries []Entry
	var faults []string
	suites := 0
	for text := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ';' || r == '\n' || r == '\r' }) {
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		e, all := parseEntry(fields)
		for _, err := range all {
			faults = append(faults, fmt.Sprintf("%.200q: %v", strings.Join(fields, " "), err))
		}
		for _, o := range entries {
			if o.Archive == e.Archive && e.Dated != (catalog.Location{}) && o.Dated != (catalog.Location{}) && o.Dated != e.Dated {
				faults = append(faults, fmt.Sprintf("%.200q: dated=%s beside dated=%s of the same archive; name one of them", strings.Join(fields, " "), urlOf(e.Dated), urlOf(o.Dated)))
				break
			}
		}
		entries, suites = append(entries, e), suites+len(e.Suites)
	}
	if suites > maxFollowed {
		faults = append(faults, fmt.Sprintf("%d suites; %d can be followed at most", suites, maxFollowed))
	}
	if len(faults) > 0 {
		return nil, errors.New(strings.Join(faults, "; "))
	}
	return entries, nil
}

// parseEntry reads the fields of an entry. The positions come first, options behind
// them.
func parseEntry(fields []string) (e Entry, faults []error) {
	e.Depth = Used
	places, options := fields, []string(nil)
	if i := slices.IndexFunc(fields, isOption); i >= 0 {
		places, options = fields[:i], fields[i:]
	}
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	if len(places) < 2 {
		return e, []error{fmt.Errorf("URL and suites are missing; %s", example)}
	}
	var err error
	e.Archive, err = parseDir(places[0])
	fault(err)
	e.Suites, err = parseSuites(places[1])
	fault(err)
	want := 4
	if err == nil && e.Flat() {
		want = 3
	}
	switch {
	case err != nil:
	case len(places) < want:
		fault(fmt.Errorf("%d of %d fields; %s", len(places), want, example))
	case len(places) > want && want == 3:
		fault(fmt.Errorf("a flat repository has no components: after its suite %q come the architectures alone", places[1]))
	case len(places) > want:
		fault(fmt.Errorf("%.80q is no option; those are depth=indices, depth=used, depth=all, section:NAME, priority:NAME, package:NAME, list:/FILE and dated=URL", places[want]))
	case want == 4:
		e.Components, err = parseNames("component", places[2])
		fault(err)
	}
	if len(places) == want {
		fault(e.architectures(places[want-1]))
	}
	for _, o := range options {
		fault(e.option(o))
	}
	fault(e.settle(options))
	return e, faults
}

// isOption tells options from what stands before them.
func isOption(field string) bool {
	name, _, ok := strings.Cut(field, "=")
	if ok && isWord(name) {
		return true
	}
	kind, rest, ok := strings.Cut(field, ":")
	return ok && isWord(kind) && !strings.HasPrefix(rest, "//")
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// parseDir reads the URL of a directory.
func parseDir(url string) (catalog.Location, error) {
	full := url
	if _, rest, ok := strings.Cut(url, "://"); ok && !strings.Contains(rest, "/") {
		full += "/"
	}
	l, err := catalog.ParseURL(full)
	if err == nil && strings.Contains(l.Tail, "?") {
		err = errors.New("a directory has no query")
	}
	if err != nil {
		return catalog.Location{}, fmt.Errorf("%.200q is no archive's URL, such as http://archive.example.org/debian: %w", url, err)
	}
	l.Tail = ""
	return l, nil
}

// parseSuites reads names of suites, all of which are flat, or none.
func parseSuites(list string) ([]string, error) {
	suites, err := split("suite", list)
	if err != nil {
		return nil, err
	}
	flat := 0
	for i, s := range suites {
		name := strings.TrimSuffix(s, "/")
		if name != s {
			flat++
		}
		if name == "." {
			suites[i] = "./"
			continue
		}
		if err := checkName("suite", strings.TrimPrefix(name, "./")); err != nil {
			return nil, err
		}
	}
	if flat != 0 && flat != len(suites) {
		return nil, fmt.Errorf("%.200q are suites of a flat repository, which end in /, and others; make two entries of them", list)
	}
	return suites, nil
}

// parseNames reads names of one kind.
func parseNames(what, list string) ([]string, error) {
	names, err := split(what, list)
	for _, name := range names {
		if err == nil {
			err = checkName(what, name)
		}
	}
	return names, err
}

// split splits a list at its commas.
func split(what, list string) ([]string, error) {
	all := strings.Split(list, ",")
	if slices.Contains(all, "") {
		return nil, fmt.Errorf("an empty %s in %.200q; separate them by one comma", what, list)
	}
	for i, name := range all {
		if slices.Contains(all[:i], name) {
			return nil, fmt.Errorf("the %s %.80q comes twice; name it once", what, name)
		}
	}
	return all, nil
}

// checkName checks the name of a suite, component or architecture, which is a part of
// paths.
func checkName(what, name string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+~/"
	switch {
	case len(name) > maxName:
		return fmt.Errorf("the %s %.80q… is longer than %d characters", what, name, maxName)
	case strings.Trim(name, plain) != "":
		return fmt.Errorf("the %s %.80q has other characters than letters, digits and -_.+~/; see how sources.list names it", what, name)
	case path.Clean("/"+name) != "/"+name:
		return fmt.Errorf("the %s %.80q is no plain name or path; see how sources.list names it", what, name)
	}
	return nil
}

// maxName is far longer than any name of a suite.
const maxName = 200
