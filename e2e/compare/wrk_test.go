package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// report is the end of a wrk script: the figures as JSON, since wrk's own text rounds them.
const report = `
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nfigures {"Requests":%d,"Bytes":%d,"Micros":%d,"P50":%.1f,"P99":%.1f,"Refused":%d,"Broken":%d}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
`

// inTurn begins a script that asks for the paths of a file's lines, one after the other.
const inTurn = `
local all, n = {}, 0
function init(args)
  local base = wrk.path:gsub("/$", "")
  for line in io.lines(args[1]) do all[#all + 1] = wrk.format("GET", base .. line) end
end
function request()
  n = n % #all + 1
  return all[n]
end
`

// generator is wrk with one thread, which asks for one URL or for many.
type generator struct {
	program, one, many string // the program, and scripts
	each               time.Duration
}

func newGenerator(tb testing.TB, r *results) generator {
	tb.Helper()
	dir := tb.TempDir()
	g := generator{program(tb, "wrk"), filepath.Join(dir, "one.lua"), filepath.Join(dir, "many.lua"), r.each}
	write(tb, g.one, report)
	write(tb, g.many, inTurn+report)
	return g
}

// request is what a turn of the generator asks for.
type request struct {
	path        string // of the archive
	paths       string // a file of such paths, one a line, in place of path
	headers     []string
	size        int64 // of the body, if only parts of it may arrive within a turn
	connections int
}

// patience is how many times as long a turn may become while no request is answered in it.
const patience = 16

// turn has the subject answer requests, and returns their rate, what they took, and what they
// cost the subject.
func (g generator) turn(ctx context.Context, s subject, mirror string, q request) (figures, error) {
	for seconds := int(g.each.Seconds()); ; seconds *= 2 {
		before, err := processorTime(s.pid())
		if err != nil {
			return nil, err
		}
		w, err := g.run(ctx, s.of(mirror), q, seconds)
		if err != nil {
			return nil, err
		}
		after, err := processorTime(s.pid())
		if err != nil {
			return nil, err
		}
		m, err := resident(s.pid())
		if err != nil {
			return nil, err
		}
		if f := w.figures(q.size, after-before); f != nil {
			f["MB"] = float64(m.all) / 1e6
			return f, nil
		}
		if seconds >= patience*int(g.each.Seconds()) {
			return nil, fmt.Errorf("no request was answered well in %d s", seconds)
		}
	}
}

// counts are what wrk counted.
type counts struct {
	Requests, Bytes, Micros, Refused, Broken int64
	P50, P99                                 float64
}

// run runs wrk once.
func (g generator) run(ctx context.Context, url string, q request, seconds int) (w counts, err error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", q.connections), fmt.Sprintf("-d%ds", seconds), "--timeout", "60s"}
	for _, h := range q.headers {
		args = append(args, "-H", h)
	}
	if q.paths == "" {
		args = append(args, "-s", g.one, url+q.path)
	} else {
		args = append(args, "-s", g.many, url, q.paths)
	}
	out, err := exec.CommandContext(ctx, g.program, args...).CombinedOutput()
	if err != nil {
		return w, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	_, line, ok := bytes.Cut(out, []byte("\nfigures "))
	if !ok {
		return w, fmt.Errorf("wrk has no figures:\n%s", out)
	}
	if err := json.Unmarshal(line, &w); err != nil {
		return w, fmt.Errorf("wrk's figures: %w\n%s", err, out)
	}
	return w, nil
}

// figures are nil if no request was answered well. With a size, parts of answers count.
func (w counts) figures(size int64, used time.Duration) figures {
	seconds, requests := float64(w.Micros)/1e6, float64(w.Requests-w.Refused)
	f := make(figures)
	if size > 0 {
		requests = float64(w.Bytes) / float64(size)
		f["MB/s"] = float64(w.Bytes) / 1e6 / seconds
	}
	if requests == 0 {
		return nil
	}
	f["rate"], f["cpu"] = requests/seconds, used.Seconds()*1e6/requests
	if w.Requests > 0 {
		f["p50"], f["p99"] = w.P50/1e3, w.P99/1e3
	}
	if w.Refused > 0 {
		f["refused"] = float64(w.Refused)
	}
	if w.Broken > 0 {
		f["broken"] = float64(w.Broken)
	}
	return f
}

// turns has each subject do the work in turn, then again. In the short form all do it at once.
func (r *results) turns(t *testing.T, work string, subjects []subject, do func(s subject, round int) (figures, error)) {
	t.Helper()
	for round := range r.rounds {
		outcomes := make([]figures, len(subjects))
		faults := make([]error, len(subjects))
		var all sync.WaitGroup
		for i, s := range subjects {
			all.Go(func() { outcomes[i], faults[i] = do(s, round) })
			if !r.short {
				all.Wait()
			}
		}
		all.Wait()
		for i, s := range subjects {
			switch {
			case faults[i] == nil:
			case s.server != nil && s.server.ended():
				t.Logf("%s: %s has ended by itself", work, s.name)
				outcomes[i] = figures{"ended": 1}
				s.server.run()
			default:
				t.Fatalf("%s, %s: %v", work, s.name, faults[i])
			}
			if n := outcomes[i]["refused"] + outcomes[i]["broken"]; s.name == millpond && n != 0 {
				t.Errorf("%s: %.0f requests to the box had no good answer", work, n)
			}
			r.note(work, s.name, outcomes[i])
		}
	}
	for _, s := range subjects {
		rate, _ := r.median(work, s.name, "rate")
		cpu, _ := r.median(work, s.name, "cpu")
		t.Logf("%s, %s: %.0f/s, %.0f µs", work, s.name, rate, cpu)
	}
}
