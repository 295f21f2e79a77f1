package compare

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var options struct {
	rounds int
	each   time.Duration
	out    string
}

func init() {
	flag.IntVar(&options.rounds, "rounds", 3, "how often each subject has its turn")
	flag.DurationVar(&options.each, "each", 4*time.Second, "how long a turn is that has no end of its own, in whole seconds")
	flag.StringVar(&options.out, "out", "", "the directory that benchmarks.md and its picture are written to (a temporary one)")
}

// works are run in this order; -run TestBench/NAME runs one, and writes its tables alone.
var works = []struct {
	name string
	run  func(*testing.T, *results)
}{
	{"held", heldWorks},
	{"blobs", blobsWorks},
	{"cold", coldWorks},
	{"crowd", crowdWorks},
	{"apt", aptWorks},
	{"peers", peersWorks},
	{"swarm", swarmWorks},
	{"memory", memoryWorks},
}

// TestBench runs the works and writes their page. With -short each has one round and small
// counts, and only what the page consists of is checked.
func TestBench(t *testing.T) {
	r := &results{rounds: options.rounds, each: options.each, short: testing.Short()}
	out := options.out
	if r.short {
		r.rounds, r.each, out = 1, time.Second, ""
	}
	if out == "" {
		out = t.TempDir()
	}
	for _, p := range []string{"wrk", "nginx", "apt-cacher-ng", "squid"} {
		program(t, p) // rather now than in half an hour
	}
	facts, err := gather(os.Getenv("MILLPOND_BINARY"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) { w.run(t, r) })
	}
	if t.Failed() {
		return // a part of the figures would pass for all
	}
	name := filepath.Join(out, "benchmarks.md")
	former, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	page, err := r.page(facts, string(former))
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, page)
	write(t, filepath.Join(out, picture), r.chart())
	checkPage(t, r, page)
	checkChart(t, r, r.chart())
}

// checkPage has each work in the page, with a row for each subject that has all cells.
func checkPage(t *testing.T, r *results, page string) {
	t.Helper()
	rows := make(map[string]int)
	columns := 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(line, "|") - 1
		if columns != 0 && n != columns {
			t.Errorf("a row has %d cells of %d: %s", n, columns, line)
		}
		columns = n
		for cell := range strings.SplitSeq(line, "|") {
			rows[strings.TrimSpace(cell)]++
		}
	}
	wanted := make(map[string]int)
	for _, w := range r.works {
		for _, s := range w.subjects {
			wanted[s]++
		}
		if _, variant, ok := strings.Cut(w.name, ": "); ok && rows[variant] == 0 {
			t.Errorf("the page has no row of %q", w.name)
		}
	}
	for s, n := range wanted {
		if rows[s] < n {
			t.Errorf("the page has %d rows of %s, want %d", rows[s], s, n)
		}
	}
	if len(r.targets) == 0 || rows["met"]+rows["**missed**"] != len(r.targets) {
		t.Errorf("the page has %d targets that are met and %d that are missed, of %d", rows["met"], rows["**missed**"], len(r.targets))
	}
}

// checkChart has the picture well-formed, with a line of each subject in each panel.
func checkChart(t *testing.T, r *results, chart string) {
	t.Helper()
	lines := 0
	for d := xml.NewDecoder(strings.NewReader(chart)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "polyline" {
			lines++
		}
	}
	if want := len(r.panels) * len(styles); lines != want {
		t.Errorf("the picture has %d lines, want %d", lines, want)
	}
}
