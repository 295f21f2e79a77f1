package compare

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/machine"
	"millpond/internal/aptest"
)

// wanted pulls in some 75 packages of some 115 MB with what it depends on, but
// not with what it recommends.
var wanted = []string{"gcc", "llvm"}

// times is what apt's two commands took.
type times struct{ update, download time.Duration }

// run has a fresh apt update and download through the proxy ("DIRECT": none).
// The mirror's name is left out of what is printed.
func run(b *testing.B, m machine.Mirror, proxy string) times {
	client := aptest.NewClient(b)
	defer client.Clean()
	client.Proxy(proxy)
	client.Sources(m.Source("deb"))
	apt := func(args ...string) time.Duration {
		begun := time.Now()
		if _, err := client.Apt(b.Context(), args...); err != nil {
			b.Fatal(strings.ReplaceAll(err.Error(), m.Host(), "mirror.example.net"))
		}
		return time.Since(begun)
	}
	t := times{update: apt("update")}
	t.download = apt(append([]string{"install", "--download-only", "--no-install-recommends"}, wanted...)...)
	debs, err := filepath.Glob(filepath.Join(client.Root, "var/cache/apt/archives/*.deb"))
	if err != nil || len(debs) < 50 {
		b.Fatalf("%d packages, %v", len(debs), err)
	}
	return t
}

// BenchmarkApt takes the seconds of apt-get update and of a download of some
// 75 packages, with a fresh client each time.
func BenchmarkApt(b *testing.B) {
	m, err := machine.Configured()
	if err != nil {
		b.Fatal(err)
	}
	const direct, cold, warm, beside = "direct", " cold", " warm", "millpond beside a full box"
	ways := []string{direct, "millpond" + cold, "millpond" + warm, beside, "apt-cacher-ng" + cold, "apt-cacher-ng" + warm}
	taken := make(map[string][]times)
	note := func(way, proxy string) { taken[way] = append(taken[way], run(b, m, proxy)) }
	for b.Loop() {
		run(b, m, "DIRECT") // not counted: what is before the mirror warms up
		for range options.rounds {
			note(direct, "DIRECT")
			allow, share := "MILLPOND_ALLOW_UPSTREAMS="+m.Host(), "MILLPOND_SHARE_HOSTS="+m.Host()
			full := box.Start(b, allow, share)
			note("millpond"+cold, full.URL)
			note("millpond"+warm, full.URL)
			second := box.Start(b, allow, share, "MILLPOND_BOOTSTRAP="+full.URL)
			second.Until("the box knows what the full one holds", func() bool {
				p := second.Peers()
				return len(p) == 1 && p[0].Held >= 50
			})
			note(beside, second.URL)
			second.Stop()
			full.Stop()
			acng := startACNG(b)
			note("apt-cacher-ng"+cold, acng.url)
			note("apt-cacher-ng"+warm, acng.url)
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "seconds, median of %d (all), load %s\n%-27s %-26s %s\n", options.rounds, load(b), "", "update", "download")
	for _, way := range ways {
		fmt.Fprintf(&table, "%-27s %-26s %s\n", way,
			seconds(taken[way], func(t times) time.Duration { return t.update }),
			seconds(taken[way], func(t times) time.Duration { return t.download }))
	}
	fmt.Print(table.String())
}

// seconds words a median and what it is the median of.
func seconds(all []times, of func(times) time.Duration) string {
	var s []float64
	for _, t := range all {
		s = append(s, of(t).Seconds())
	}
	return fmt.Sprintf("%.2f %.2f", median(s), s)
}

func median(s []float64) float64 { return slices.Sorted(slices.Values(s))[len(s)/2] }
