package compare

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const (
	bareStream = "a bare libp2p stream"
	transfer   = "1 GiB from one peer: "
)

// swarmWorks runs benchmarks of the swarm, which libp2p is reached from alone.
func swarmWorks(t *testing.T, r *results) {
	swarms := []struct{ name, how string }{{"open", "an open swarm"}, {"key", "a swarm with a key"}}
	subjects := []struct{ name, benchmark string }{{millpond, "swarm"}, {bareStream, "stream"}}
	for range r.rounds {
		all := benchmarks(t, r, "Transfer/(open|key)")
		for _, swarm := range swarms {
			for _, s := range subjects {
				f, ok := all["BenchmarkTransfer/"+swarm.name+"/"+s.benchmark]
				if !ok {
					t.Fatalf("there is no benchmark of %s with %s", s.name, swarm.how)
				}
				r.note(transfer+swarm.how, s.name, figures{"MB/s": f["MB/s"], "cpu s": f["cpu-s/GiB"]})
			}
		}
	}
	r.describe(transfer+swarms[0].how, "From the swarm of one box to that of another, in one process and over loopback: "+
		"the bytes are neither hashed nor written. CPU time is that of both.")
	for _, swarm := range swarms {
		r.expect(target{work: transfer + swarm.how, measure: "MB/s", against: bareStream, limit: 0.9, atLeast: true, what: "rate of " + bareStream})
	}
	if r.short {
		return // it takes a minute
	}
	const work = "memory: the swarm beside seven boxes with 200,000 blobs each"
	for _, f := range benchmarks(t, r, "Memory/others=7") {
		r.note(work, millpond, figures{"MB": f["MB-resident-later"]})
	}
	r.expect(target{work: work, measure: "MB", limit: 300, what: "MB resident"})
}

// benchmarks runs those of the swarm once each, and returns the figures of each by unit.
func benchmarks(t *testing.T, r *results, pattern string) map[string]map[string]float64 {
	t.Helper()
	args := []string{"test", "-run", "^$", "-bench", pattern, "-benchtime", "1x", "-timeout", "30m"}
	if r.short {
		args = append(args, "-short")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./internal/swarm")...)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	all := make(map[string]map[string]float64)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // name, count, value, unit, value, unit …
		if !strings.HasPrefix(line, "Benchmark") || len(f) < 4 {
			continue
		}
		name := f[0][:max(strings.LastIndex(f[0], "-"), 0)] // before the number of processors
		all[name] = make(map[string]float64)
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				t.Fatalf("%s: %v", fmt.Sprint(f), err)
			}
			all[name][f[i+1]] = v
		}
		t.Logf("%s", strings.TrimSpace(line))
	}
	return all
}
