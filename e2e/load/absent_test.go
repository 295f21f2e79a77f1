package load

import (
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

const (
	memoryLimit = 400 << 20
	leastShare  = 0.8 // of the rate that quick clients have alone
)

// TestAbsentFiles has clients ask for files that the mirror does not have, each another
// one: that costs the mirror one request each, keeps nothing on the disk, and quick
// clients hardly notice.
func TestAbsentFiles(t *testing.T) {
	names, window := int64(200_000), 4*time.Second
	if testing.Short() {
		names, window = 20_000, time.Second
	}
	for _, c := range []struct {
		name    string
		clients int
		names   int64
	}{{"one client", 1, names / 2}, {"eight clients", 8, names}} {
		t.Run(c.name, func(t *testing.T) { absentFiles(t, c.clients, c.names, window) })
	}
}

func absentFiles(t *testing.T, clients int, names int64, window time.Duration) {
	s := newSite(t)
	targets := s.hold(small)
	q := newQuick(t, s.box.URL, targets)
	before, disk, asked := q.run(window), diskUsage(t, s.box.Data), s.origin.asked()
	p := plan{Server: s.box.URL[len("http://"):], Absent: s.url("/debian/pool/main/a/absent/absent"), Seekers: clients, Names: names}
	for i := range clients {
		p.Addresses = append(p.Addresses, addressOf(i))
	}
	begun := time.Now()
	seekers := gather(t, p, nil)
	seekers.await("the clients ask", 10*time.Second, func(r report) bool { return r.NotFound > 100 })
	cpu, measured := vitalsOf(t, s.box).cpu, time.Now()
	beside := q.runAs(before, window)
	share := (vitalsOf(t, s.box).cpu - cpu).Seconds() / time.Since(measured).Seconds()
	if r := seekers.report(); r.NotFound >= names {
		t.Errorf("the %d names lasted for less than the measurement", names)
	}
	seekers.await("all names have been asked for", 3*time.Minute, func(r report) bool { return r.NotFound >= names })
	took := time.Since(begun)
	after := q.run(window)
	r := seekers.report()
	if r.Errors > 0 {
		t.Errorf("%d requests for absent files failed: %s", r.Errors, r.Last)
	}
	v, grown, requests := vitalsOf(t, s.box), diskUsage(t, s.box.Data)-disk, s.origin.asked()-asked
	ratio := judge(t, before, beside, after)
	t.Logf("%d absent files in %.0f s: quick clients %v alone, %v beside, %v after: %.2f; the box took %.0f %% of a processor; peak %s, anonymous %s; the disk has %s more; %d requests to the mirror",
		names, took.Seconds(), before, beside, after, ratio, 100*share, mb(v.peak), mb(v.anonymous), mb(grown), requests)
	if v.peak > memoryLimit {
		t.Errorf("the box had %s", mb(v.peak))
	}
	if grown > 64<<20 {
		t.Errorf("absent files have taken %s of the disk", mb(grown))
	}
	// Beside those for the absent files, the box may look for a newer Release.
	if limit := int(names + names/20 + 100); requests > limit {
		t.Errorf("the mirror got %d requests for %d files", requests, names)
	}
}

// judge compares the rate of quick clients beside a load with the one that they have
// alone, before and after.
func judge(t *testing.T, before, beside, after pace) float64 {
	t.Helper()
	ratio := 2 * beside.rate / (before.rate + after.rate)
	if ratio < leastShare {
		t.Errorf("quick clients have %.2f of their rate", ratio)
	}
	return ratio
}

// diskUsage is what the files of a directory take.
func diskUsage(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n += 512 * blocks(info)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
