package aptest

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// keptPatches is how many generations back a Packages.diff reaches.
const keptPatches = 16

// diffs is the history of one Packages file.
type diffs struct {
	current []byte
	patches []patch // oldest first: each leads to the next one's start
	made    int
}

type patch struct {
	name  string
	from  []byte // the file it applies to
	plain []byte // ed script
	gz    []byte
}

// diff returns Packages.diff/Index and the patches it lists, once there is a
// former generation with another content.
func (s *suite) diff(name string, plain []byte, t time.Time) ([]listed, []File) {
	d := s.diffs[name]
	if d == nil {
		s.diffs[name] = &diffs{current: plain}
		return nil, nil
	}
	if !bytes.Equal(d.current, plain) {
		d.made++
		script := edScript(stanzas(d.current), stanzas(plain))
		d.patches = append(d.patches, patch{
			name:  fmt.Sprintf("%s.%03d", t.Format("2006-01-02-1504.05"), d.made),
			from:  d.current,
			plain: script,
			gz:    compress("gz", script),
		})
		d.patches = d.patches[max(0, len(d.patches)-keptPatches):]
		d.current = plain
	}
	if len(d.patches) == 0 {
		return nil, nil
	}
	dir := name + ".diff"
	var files []File
	for _, p := range d.patches {
		f := File{path.Join(dir, p.name+".gz"), p.gz}
		files = append(files, f)
		files = append(files, s.hashed(f)...)
	}
	return []listed{{File: File{path.Join(dir, "Index"), d.index()}}}, files
}

func (d *diffs) index() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "SHA256-Current: %s %d\n", sha256Hex(d.current), len(d.current))
	list := func(field, suffix string, data func(patch) []byte) {
		fmt.Fprintf(&b, "SHA256-%s:\n", field)
		for _, p := range d.patches {
			fmt.Fprintf(&b, " %s %d %s%s\n", sha256Hex(data(p)), len(data(p)), p.name, suffix)
		}
	}
	list("History", "", func(p patch) []byte { return p.from })
	list("Patches", "", func(p patch) []byte { return p.plain })
	list("Download", ".gz", func(p patch) []byte { return p.gz })
	return []byte(b.String())
}

// stanzas cuts a Packages file after each empty line.
func stanzas(b []byte) []string {
	return slices.DeleteFunc(strings.SplitAfter(string(b), "\n\n"), func(s string) bool { return s == "" })
}

// edScript writes the commands of diff --ed: last change first, so that line
// numbers before it stay right. Both lists are sorted by file name and have no
// stanza twice; so what they share is in the same order in both.
func edScript(from, to []string) []byte {
	var hunks []string
	line := 0 // lines of from that are passed
	for i, j := 0, 0; i < len(from) || j < len(to); {
		gone := slices.IndexFunc(from[i:], func(s string) bool { return slices.Contains(to[j:], s) })
		if gone < 0 {
			gone = len(from) - i
		}
		added := len(to) - j
		if i+gone < len(from) {
			added = slices.Index(to[j:], from[i+gone])
		}
		if gone == 0 && added == 0 {
			line += strings.Count(from[i], "\n")
			i, j = i+1, j+1
			continue
		}
		lines := strings.Count(strings.Join(from[i:i+gone], ""), "\n")
		hunks = append(hunks, hunk(line, lines, strings.Join(to[j:j+added], "")))
		i, j, line = i+gone, j+added, line+lines
	}
	slices.Reverse(hunks)
	return []byte(strings.Join(hunks, ""))
}

// hunk replaces n lines after the given line by text.
func hunk(after, n int, text string) string {
	lines := fmt.Sprint(after + 1)
	if n > 1 {
		lines = fmt.Sprintf("%d,%d", after+1, after+n)
	}
	switch {
	case text == "":
		return lines + "d\n"
	case n == 0:
		return fmt.Sprintf("%da\n%s.\n", after, text)
	}
	return lines + "c\n" + text + ".\n"
}
