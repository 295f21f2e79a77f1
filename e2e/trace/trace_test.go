package main

import (
	"maps"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// short is a site with a synthetic archive.
func short(t *testing.T, s site, seed uint64) trace {
	t.Helper()
	return record(synthetic(2000), s, 150, seed)
}

// A box serves no request less from its cache than plain LRU does, whatever the size of
// the cache, and more of them where somebody once downloads a good part of the archive.
func TestEviction(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, scan := range []bool{false, true} {
		tr := short(t, site{clients: 10, installs: 1, scan: scan}, 1)
		endless := newLRU(1<<60, false)
		best, err := play(tr, endless, prefetching{})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range quotas {
			a, err := compareEviction(tr, int64(part*float64(endless.bytes)))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("scan %t, cache of %3.0f %%: LRU %s, superseded first %s, box %s, endless %s", scan, 100*part, hits(a.lru), hits(a.superseded), hits(a.box), hits(best))
			if a.box.hits < a.lru.hits || a.box.hitBytes < a.lru.hitBytes {
				t.Errorf("scan %t, cache of %.0f %%: the box hits %s, plain LRU %s", scan, 100*part, hits(a.box), hits(a.lru))
			}
			if a.box.hits > best.hits || a.box.requests != best.requests {
				t.Errorf("scan %t, cache of %.0f %%: the box hits %s, an endless cache %s", scan, 100*part, hits(a.box), hits(best))
			}
			if scan && (a.box.hits < a.lru.hits+a.lru.requests/100 || a.box.hitBytes <= a.lru.hitBytes) {
				t.Errorf("after a scan, cache of %.0f %%: the box hits %s, plain LRU %s", 100*part, hits(a.box), hits(a.lru))
			}
			if scan && part <= 0.4 && a.box.hits < a.superseded.hits+a.superseded.requests/20 {
				t.Errorf("after a scan, cache of %.0f %%: the box hits %s, LRU with what is superseded first %s", 100*part, hits(a.box), hits(a.superseded))
			}
		}
	}
}

// What a box has prefetched serves the first client after a wave, and little of it is
// wasted; by name alone, what has a new name is missed. The rule that the curve is drawn
// with chooses what the box does, but for a few files in hundred.
func TestPrefetching(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var sum [4]figures
	for seed := range uint64(4) {
		tr := short(t, site{clients: 30, images: 2, installs: 1}, seed)
		for i, how := range []prefetching{{}, {part: 1}, {part: 1, depends: true, lately: true}, {box: true}} {
			f, err := play(tr, newLRU(1<<60, false), how)
			if err != nil {
				t.Fatal(err)
			}
			sum[i].add(f)
		}
	}
	none, names, rule, box := sum[0], sum[1], sum[2], sum[3]
	for _, f := range sum {
		t.Logf("first client %.1f %%, all %.1f %%, prefetched per used %s", 100*ratio(f.firstFree, f.first), 100*ratio(f.wavesFree, f.waves), perUsed(f))
	}
	if none.prefetched != 0 || ratio(none.firstFree, none.first) > 0.2 {
		t.Errorf("without prefetching: %+v", none)
	}
	if ratio(box.firstFree, box.first) < 0.95 || ratio(box.prefetched, box.prefUsed) > 1.3 {
		t.Errorf("the first client gets %.3f of its bytes, and %s bytes were prefetched for each used", ratio(box.firstFree, box.first), perUsed(box))
	}
	if names.firstFree >= box.firstFree || names.first != box.first {
		t.Errorf("by name %+v, with new dependencies %+v", names, box)
	}
	for what, both := range map[string][2]int64{
		"prefetched": {rule.prefetched, box.prefetched}, "then used": {rule.prefUsed, box.prefUsed}, "without the mirror": {rule.wavesFree, box.wavesFree},
	} {
		if r := ratio(both[0], both[1]); r < 0.97 || r > 1.03 {
			t.Errorf("%s: %d bytes by the rule, %d by the box", what, both[0], both[1])
		}
	}
}

// A box fetches the same files as the rule in a week whose generation changes what clients
// used and what they did not, each with a package that has a new name.
func TestBoxChoosesByUse(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := new(archive)
	for _, name := range []string{"used", "unused", "used-kernel", "unused-kernel", "still"} {
		p := pkg{name: name, arch: "amd64", source: name, sizes: [2]int64{1000, 1000}, every: warmUp, phase: warmUp, renamed: strings.HasSuffix(name, "kernel")}
		if name == "still" {
			p.every = 0
		}
		a.pkgs = append(a.pkgs, p)
	}
	tr := trace{archive: a}
	for _, p := range []int{0, 2, 4} {
		tr.requests = append(tr.requests, request{at: (warmUp-1)*week + time.Hour, client: 1, file: file{p, 0}})
	}
	tr.requests = append(tr.requests, request{at: warmUp*week + time.Hour, client: 1, file: file{0, 1}, update: true})
	var held [2]map[file]bool
	for i, how := range []prefetching{{part: 1, depends: true, lately: true}, {box: true}} {
		c := newLRU(1<<60, false)
		if _, err := play(tr, c, how); err != nil {
			t.Fatal(err)
		}
		held[i] = make(map[file]bool)
		for f := range c.held {
			held[i][f] = true
		}
	}
	want := map[file]bool{{0, 0}: true, {2, 0}: true, {4, 0}: true, {0, 1}: true, {2, 1}: true}
	for i, how := range []string{"the rule", "the box"} {
		if !maps.Equal(held[i], want) {
			t.Errorf("held with %s: %v, want %v", how, held[i], want)
		}
	}
}

// With room for all, the store of a box serves what a list does, that prefetched among it.
func TestBoxServesWhatAListDoes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tr := short(t, site{clients: 5, images: 1, installs: 1}, 1)
	how := prefetching{part: 1, depends: true}
	want, err := play(tr, newLRU(1<<60, false), how)
	if err != nil {
		t.Fatal(err)
	}
	got, err := playBox(tr, 1<<40, how)
	if err != nil {
		t.Fatal(err)
	}
	if got != want || got.prefetched == 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The law is that of the numbers that popularity.go has.
func TestLaw(t *testing.T) {
	for rank, installed := range map[int]float64{890: 22659, 940: 18888, 2423: 3720, 3480: 1778, 3989: 1344, 4232: 1198, 4500: 1067, 7363: 417} {
		if got, want := share(rank, 560), installed/70_000; math.Abs(got/want-1) > 0.15 {
			t.Errorf("rank %d: share %.4f, want %.4f", rank, got, want)
		}
	}
	l := newLaw(10_000, 500)
	if sum := l.sums[len(l.sums)-1]; math.Abs(sum-500) > 1 {
		t.Errorf("a client has %.1f packages, want 500", sum)
	}
}

func TestReadPackages(t *testing.T) {
	const text = `Package: linux-image-6.1.0-50-amd64
Source: linux-signed-amd64
Version: 6.1.176-1
Architecture: amd64
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
Filename: pool/main/l/linux-signed-amd64/linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb
Size: 70305560

Package: bash
Priority: required
Version: 5.2.15-2+b9
Architecture: amd64
Filename: pool/main/b/bash/bash_5.2.15-2+b9_amd64.deb
Size: 1491232
`
	now, err := readPackages(strings.NewReader(text))
	if err != nil || len(now) != 2 || now[0].size != 70305560 || now[0].source != "linux-signed-amd64" || len(now[0].depends) != 4 || now[1].priority != "required" {
		t.Fatalf("%+v, %v", now, err)
	}
	next, err := readPackages(strings.NewReader(strings.ReplaceAll(strings.ReplaceAll(text, "-50-", "-56-"), "6.1.176", "6.1.192")))
	if err != nil {
		t.Fatal(err)
	}
	changed := newest(now, next)
	if len(changed) != 1 || changed[0].name != now[0].name || !changed[0].renamed || changed[0].version != "6.1.192-1" {
		t.Errorf("changed: %+v", changed)
	}
	p := pairOf(now[0], changed[0])
	if !p.renamed || p.every != quick || p.version(p.phase) != 1 || p.version(p.phase+quick) != 2 || p.version(p.phase-1) != 0 {
		t.Errorf("%+v", p)
	}
}

// Without updates within 90 days a box knows only what was installed.
func TestSlowArchive(t *testing.T) {
	a := synthetic(2000)
	slow := a.slower()
	how := prefetching{part: 1, depends: true}
	var shares []float64
	for _, from := range []*archive{a, slow} {
		f, err := play(record(from, site{clients: 30, images: 2}, 150, 1), newLRU(1<<60, false), how)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, ratio(f.firstFree, f.first))
	}
	if shares[1] >= shares[0] {
		t.Errorf("shares of the first client's bytes: %v", shares)
	}
	for i, p := range slow.pkgs {
		if p.every > 0 && (p.every < slowest || p.phase > p.every) || (p.every > 0) != (a.pkgs[i].every > 0) {
			t.Fatalf("%+v of %+v", p, a.pkgs[i])
		}
	}
}

// The short form prints and draws all there is.
func TestShort(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	svg := t.TempDir() + "/curve.svg"
	if err := run(&out, svg, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"office", "used, with new dependencies", "a box", "all that changed", "plain LRU"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing of %q in\n%s", want, out.String())
		}
	}
	if b, err := os.ReadFile(svg); err != nil || !strings.Contains(string(b), "polyline") {
		t.Errorf("%v: %s", err, b)
	}
}
