package load

import (
	"fmt"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// TestSlowReaders has clients that read hardly anything, or nothing at all, of files that
// are held and of files that the mirror is still sending: they cost memory that is
// bounded, and quick clients nothing.
func TestSlowReaders(t *testing.T) {
	const readers = 1000 // fewer that have stopped do not fill what the kernel has
	window := 6 * time.Second
	if testing.Short() {
		window = time.Second
	}
	for _, c := range []struct {
		name  string
		rate  int64
		held  bool
		short bool
	}{
		{"held and slow", 4 << 10, true, true},
		{"held and stopped", 0, true, false},
		{"downloading and slow", 4 << 10, false, false},
		{"downloading and stopped", 0, false, true},
	} {
		if testing.Short() && !c.short {
			continue
		}
		t.Run(c.name, func(t *testing.T) { slowReaders(t, readers, window, c.rate, c.held) })
	}
}

func slowReaders(t *testing.T, readers int, window time.Duration, rate int64, held bool) {
	s := newSite(t)
	targets := s.hold(small)
	p := plan{Server: s.box.URL[len("http://"):], Readers: readers, Rate: rate}
	if held {
		p.Targets = s.hold(large)
	} else {
		for _, path := range s.archive.present[large] {
			p.Targets = append(p.Targets, s.url(path))
		}
		// Most of each file comes at once, so that the clients and not the mirror are slow.
		stalled := s.archive.mirror.Inject("*/pool/*/large*", aptest.Stall(8<<20))
		t.Cleanup(stalled.Release)
	}
	for i := range 100 {
		p.Addresses = append(p.Addresses, addressOf(i))
	}
	q := newQuick(t, s.box.URL, targets)
	before, alone := q.run(window), vitalsOf(t, s.box)
	slow := gather(t, p, nil)
	slow.await("all read", time.Minute, func(r report) bool { return r.Reading == int64(readers) })
	beside, loaded, kernel := q.runAs(before, window), vitalsOf(t, s.box), kernelTCP(t)
	if r := slow.report(); r.Errors > 0 || r.Reading != int64(readers) {
		t.Errorf("%d slow clients are left, %d were cut: %s", r.Reading, r.Errors, r.Last)
	}
	slow.leave()
	s.box.Until("the clients' goroutines and descriptors are gone", func() bool {
		v := vitalsOf(t, s.box)
		return v.goroutines < alone.goroutines+50 && v.descriptors < alone.descriptors+50
	})
	after := q.run(window)
	ratio := judge(t, before, beside, after)
	each := fmt.Sprintf("%.1f goroutines, %.1f descriptors and %.0f kB of anonymous memory each",
		float64(loaded.goroutines-alone.goroutines)/float64(readers), float64(loaded.descriptors-alone.descriptors)/float64(readers),
		float64(loaded.anonymous-alone.anonymous)/float64(readers)/1e3)
	t.Logf("%d slow readers: quick clients %v alone, %v beside, %v after: %.2f; peak %s, anonymous %s: %s; the machine's kernel %s for TCP",
		readers, before, beside, after, ratio, mb(loaded.peak), mb(loaded.anonymous), each, mb(kernel))
	if loaded.peak > memoryLimit {
		t.Errorf("the box had %s", mb(loaded.peak))
	}
	if most := 4*int64(readers) + 50; loaded.goroutines > alone.goroutines+most || loaded.descriptors > alone.descriptors+most {
		t.Errorf("%d goroutines and %d descriptors for %d clients", loaded.goroutines, loaded.descriptors, readers)
	}
}
