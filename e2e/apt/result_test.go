package apt

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"

	"millpond/internal/aptest"
)

// result is what a client printed and got, in words that are the same for every
// form.
type result struct {
	update, fetch string
	files         map[string]string
}

func exitStatus(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &exit):
		return fmt.Sprint(exit.ExitCode())
	}
	return err.Error()
}

// What depends on times, addresses and the order of answers.
var (
	total   = regexp.MustCompile(`(?m)^Fetched .*$`) // with a list of mirrors, if that was not fetched just now
	number  = regexp.MustCompile(`(?m)^(Get|Hit|Ign|Err):\d+ `)
	since   = regexp.MustCompile(`\(invalid since [^)]*\)`)
	address = regexp.MustCompile(` \[IP: [^]]*\]`)
	// What another generation has otherwise.
	size    = regexp.MustCompile(`(?m) \[[\d.,]+ k?B\]$`)
	patch   = regexp.MustCompile(`\S+\.pdiff`)
	ignored = regexp.MustCompile(`(?m)^Ign .*\n(  .*\n)*`)
	answers = regexp.MustCompile(`^(Get|Hit|Ign|Err) `)
)

// printed is what the client has printed, without what is another's in each run.
func (v *visit) printed() string {
	s := strings.ReplaceAll(v.out.String(), v.base, "MIRROR")
	s = strings.ReplaceAll(s, "/"+quoted(v.base)+"_", "/MIRROR_")
	for _, m := range v.place.mirrors {
		s = strings.ReplaceAll(s, "http://"+m.Addr(), "MIRROR")
	}
	for dir, name := range map[string]string{v.client.Root: "ROOT", v.client.Work: "WORK"} {
		s = strings.ReplaceAll(s, dir, name)
	}
	s = number.ReplaceAllString(s, "$1 ")
	s = address.ReplaceAllString(s, "")
	s = since.ReplaceAllString(s, "(invalid)")
	s = total.ReplaceAllString(s, "Fetched")
	if v.place.moves {
		s = patch.ReplaceAllString(size.ReplaceAllString(s, ""), "PATCH")
	}
	if v.place.spares {
		s = ignored.ReplaceAllString(s, "")
	}
	v.out.Reset()
	return strings.Join(sortAnswers(strings.Split(s, "\n")), "\n")
}

// sortAnswers sorts each stretch of lines that tell of answers, with the lines
// that explain them.
func sortAnswers(lines []string) []string {
	var sorted, stretch []string
	for _, line := range append(lines, "") {
		switch {
		case answers.MatchString(line):
			stretch = append(stretch, line)
			continue
		case strings.HasPrefix(line, "  ") && len(stretch) > 0:
			stretch[len(stretch)-1] += "\n" + line
			continue
		}
		slices.Sort(stretch)
		sorted = append(append(sorted, stretch...), line)
		stretch = nil
	}
	return sorted[:len(sorted)-1]
}

// What a program said when it failed: the line of an error, or of a warning where
// there is no other; and the part of it that is the same for every file.
var (
	failure = regexp.MustCompile(`(?m)^exit [^0]`)
	reason  = regexp.MustCompile(`(?m)^[EW]: (?:Failed to fetch \S+ +)?(.*)$`)
)

// shortReason is how much of a reason the table has.
const shortReason = 70

// failed reports whether a program ended with an error, and what it said first.
func (r result) failed() (string, bool) {
	text := r.update + r.fetch
	if !failure.MatchString(text) {
		return "", false
	}
	why := reason.FindStringSubmatch(text)
	if why == nil {
		return "fails", true
	}
	return why[1][:min(shortReason, len(why[1]))], true
}

// differences tells what is not the same.
func (r result) differences(want result) string {
	var b strings.Builder
	b.WriteString(lineDifferences(r.update, want.update))
	b.WriteString(lineDifferences(r.fetch, want.fetch))
	for _, name := range slices.Sorted(maps.Keys(want.files)) {
		if got, ok := r.files[name]; !ok {
			fmt.Fprintf(&b, "  no file %s\n", name)
		} else if got != want.files[name] {
			fmt.Fprintf(&b, "  other bytes in %s\n", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		if _, ok := want.files[name]; !ok {
			fmt.Fprintf(&b, "  an extra file %s\n", name)
		}
	}
	return b.String()
}

func lineDifferences(got, want string) string {
	if got == want {
		return ""
	}
	var b strings.Builder
	has := func(all []string, mark string, others []string) {
		for _, line := range all {
			if !slices.Contains(others, line) {
				b.WriteString("  " + mark + " " + line + "\n")
			}
		}
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	has(w, "direct", g)
	has(g, "box   ", w)
	if b.Len() == 0 {
		return "  the same lines in another order or number\n"
	}
	return b.String()
}

// list returns only the part of a result that comes after the update.
func (r result) afterUpdate() result {
	files := maps.Clone(r.files)
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, "lists/") })
	return result{fetch: r.fetch, files: files}
}

// cost is what a visit cost the mirrors.
type cost struct {
	requests, bytes int64
	others          []aptest.Request // not of Release files, nor of what passes, nor probes
}

func (p *place) cost() cost {
	var c cost
	for _, m := range p.mirrors {
		for _, r := range m.Log() {
			c.requests++
			c.bytes += r.Sent
			passes, _ := path.Match(p.passes, strings.Trim(path.Base(r.Path), "/"))
			if !releaseFile(r.Path) && !passes && !isProbe(r) {
				c.others = append(c.others, r)
			}
		}
	}
	return c
}

func (p *place) resetCost() {
	for _, m := range p.mirrors {
		m.ResetLog()
	}
}

// isProbe reports whether a request only asked whether the mirror has an index
// of a new Release already: for one byte.
func isProbe(r aptest.Request) bool { return r.Range == "bytes=0-0" && r.Sent <= 1 }

func releaseFile(p string) bool {
	return slices.Contains([]string{"InRelease", "Release", "Release.gpg"}, path.Base(p))
}

// String is a cell of the table.
func (c cost) String() string {
	s := fmt.Sprintf("%d requests, %d B", c.requests, c.bytes)
	if len(c.others) > 0 {
		s += fmt.Sprintf(" (%d of other files, %d B)", len(c.others), c.otherBytes())
	}
	return s
}

// onlyIndices reports whether the other files are indices alone.
func (c cost) onlyIndices() bool {
	return !slices.ContainsFunc(c.others, func(r aptest.Request) bool { return !strings.Contains(r.Path, "/dists/") })
}

// otherBytes are those of files: a mirror also says in words what it lacks.
func (c cost) otherBytes() int64 {
	var n int64
	for _, r := range c.others {
		if r.Status < http.StatusBadRequest {
			n += r.Sent
		}
	}
	return n
}

func (c cost) paths() string {
	var all []string
	for _, r := range c.others {
		all = append(all, fmt.Sprintf("%s %d, %d B", r.Path, r.Status, r.Sent))
	}
	return strings.Join(all, "\n  ")
}
