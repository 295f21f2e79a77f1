package fetch

import (
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/peer"
)

// BenchmarkColdDownload fetches a file that no peer has, with a DHT that looks
// for ever, beside the same with the mirror alone, in turns. It may take 5 %
// or 20 ms longer.
func BenchmarkColdDownload(b *testing.B) {
	sizes := map[string]int{"small": small, "large": large, "big": 32 * mib}
	for _, pkg := range []string{"small", "large", "big"} {
		b.Run(pkg, func(b *testing.B) {
			r := newSwarmRig(b, map[string]int{pkg: sizes[pkg]})
			r.timeouts, r.findBlocks = defaultTimeouts(), true
			cold := func(swarm peer.Swarm) time.Duration {
				r.Fetcher.swarm = swarm
				begun := time.Now()
				r.right(pkg, 1)
				took := time.Since(begun)
				r.quiet()
				must(b, r.store.Remove(r.digest(pkg)))
				return took
			}
			cold(nil)
			var with, alone time.Duration
			for b.Loop() {
				with += cold(r.boxes)
				alone += cold(nil)
			}
			n := float64(b.N)
			b.ReportMetric(float64(with)/float64(alone), "x-mirror-alone")
			b.ReportMetric(float64((with-alone).Milliseconds())/n, "ms-longer")
			b.ReportMetric(float64(alone.Milliseconds())/n, "ms-mirror-alone")
		})
	}
}

// BenchmarkAbsentContent asks for a file that the only mirror lacks.
func BenchmarkAbsentContent(b *testing.B) {
	r := newSwarmRig(b, map[string]int{"small": small})
	r.mirror.Inject("*/small*", aptest.Status(404))
	for b.Loop() {
		if _, _, err := r.read(r.packageAt("small")); err == nil {
			b.Fatal("the file is there")
		}
	}
}
