package compare

import (
	"fmt"
	"net/http"
	"testing"
)

// sized is a kind of held file.
type sized struct {
	name        string
	size        int64
	connections []int
	plotted     bool
}

var heldFiles = []sized{
	{"3 kB", 3_000, []int{1, 8, 32, 64, 500, 512}, true},
	{"53 kB", 53_000, []int{1, 8, 32, 64, 500, 512}, true},
	{"1 MB", 1_000_000, []int{1, 8, 32, 64, 512}, true},
	{"60 MB", 60_000_000, []int{1, 8, 32}, false},
	{"1 GB", 1_000_000_000, []int{1, 8}, false},
}

// shortSizes are those of the short form.
var shortSizes = map[string]int64{"60 MB": 600_000, "1 GB": 1_000_000}

// partial is the size from which not all answers of a turn end in it.
const partial = 1_000_000

// heldWorks has the subjects serve one held file to many connections, and say that InRelease
// is unchanged.
func heldWorks(t *testing.T, r *results) {
	g := newGenerator(t, r)
	sizes := make([]int64, len(heldFiles))
	for i, h := range heldFiles {
		sizes[i] = h.size
		if small, ok := shortSizes[h.name]; ok && r.short {
			sizes[i] = small
		}
	}
	s := newSite(t, sizes)
	s.hold(s.subjects, s.files)
	s.unasked(func() {
		for i, h := range heldFiles {
			panel := panel{title: h.name + " file", axis: "connections"}
			if r.short {
				h.connections = h.connections[(len(h.connections)-1)/2:][:1]
			}
			for _, n := range h.connections {
				work := fmt.Sprintf("%s, held: %s", h.name, over(n))
				r.describe(work, fmt.Sprintf("One file of %s bytes that all subjects hold, over keep-alive connections.", grouped(s.files[i].size)))
				q := request{path: s.files[i].path, connections: n}
				if h.size >= partial {
					q.size = s.files[i].size
				}
				r.turns(t, work, s.subjects, func(sub subject, _ int) (figures, error) {
					return g.turn(t.Context(), sub, s.mirror, q)
				})
				if n != 500 { // hardly another point than 512
					panel.points = append(panel.points, point{float64(n), work})
				}
				expectHeld(r, work, h.size, n)
			}
			if h.plotted {
				r.plot(panel)
			}
		}
	})
	unchanged(t, r, g, s)
}

func over(connections int) string {
	if connections == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", connections)
}

// expectHeld adds the targets for a held file. Those for few clients are for 32 connections
// and for 500; a large file has them for all.
func expectHeld(r *results, work string, size int64, connections int) {
	switch {
	case size >= 1_000_000:
		r.expect(target{work: work, measure: "rate", against: "nginx", limit: 1.0, atLeast: true, what: "rate of nginx"})
		r.expect(target{work: work, measure: "cpu", against: "nginx", limit: 1.1, what: "CPU time of nginx"})
	case connections == 32, connections == 500:
		r.expect(target{work: work, measure: "rate", against: "nginx", limit: 0.9, atLeast: true, what: "rate of nginx"})
		r.expect(target{work: work, measure: "p99", against: "nginx", limit: 1.0, what: "p99 of nginx"})
		r.expect(target{work: work, measure: "cpu", against: "nginx", limit: 1.3, what: "CPU time of nginx"})
	}
}

// unchanged has the subjects answer 304 to what apt asks of InRelease.
func unchanged(t *testing.T, r *results, g generator, s *site) {
	for _, n := range []int{32, 500} {
		if r.short && n > 32 {
			continue
		}
		work := fmt.Sprintf("InRelease, unchanged: %s", over(n))
		r.describe(work, "A request as apt makes it with the file that it has, If-Modified-Since and Cache-Control: max-age=0, which is answered 304. "+
			"How often that has the subject ask the mirror is a matter of its settings: nginx does twice a minute here.")
		r.turns(t, work, s.subjects, func(sub subject, _ int) (figures, error) {
			url := sub.of(s.mirror) + inRelease
			headers, err := conditions(url)
			if err != nil {
				return nil, err
			}
			before := s.checked.Load()
			f, err := g.turn(t.Context(), sub, s.mirror, request{path: inRelease, headers: headers, connections: n})
			if err == nil {
				f["checks"] = float64(s.checked.Load() - before)
			}
			return f, err
		})
		r.expect(target{work: work, measure: "rate", against: "nginx", limit: 0.9, atLeast: true, what: "rate of nginx"})
	}
}

// conditions are the headers with which apt asks for a file that it has. It is checked that
// the answer to them is 304.
func conditions(url string) ([]string, error) {
	resp, err := http.Head(url)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	modified := resp.Header.Get("Last-Modified")
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Cache-Control", "max-age=0")
	req.Header.Set("If-Modified-Since", modified)
	resp, err = http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		return nil, fmt.Errorf("GET %s since %q: %s", url, modified, resp.Status)
	}
	return []string{"Cache-Control: max-age=0", "If-Modified-Since: " + modified}, nil
}
