package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// point is a run with a way of prefetching.
type point struct {
	name string
	figures
}

// runs is how many traces of a site are summed up: a single browser that somebody tries
// weighs as much as hundreds of other packages.
const runs = 5

// ways are those to prefetch that are compared, and parts those of the last but two of
// which the first site's curve is made.
var (
	ways = []struct {
		name string
		how  prefetching
	}{
		{"nothing", prefetching{}},
		{"used, by name", prefetching{part: 1}},
		{"used, with new dependencies", prefetching{part: 1, depends: true}},
		{"the same, used lately", prefetching{part: 1, depends: true, lately: true}},
		{"a box", prefetching{box: true}},
		{"all that changed", prefetching{all: true}},
	}
	parts = []float64{0.1, 0.25, 0.5, 0.75, 0.9}
)

// tellPrefetching prints what ways of prefetching cost and bring, at each site, and
// returns the curve of the first one.
func tellPrefetching(w io.Writer, a *archive, mean float64) (curve []point, err error) {
	for i, s := range sites {
		var points []point
		var hows []prefetching
		for k, way := range ways {
			if i == 0 && k == len(ways)-2 {
				how := ways[k-1].how
				for _, how.part = range parts {
					points, hows = append(points, point{name: fmt.Sprintf("%.0f %% of that", 100*how.part)}), append(hows, how)
				}
			}
			points, hows = append(points, point{name: way.name}), append(hows, way.how)
		}
		for seed := range uint64(runs) {
			from := a
			if s.slow {
				from = a.slower()
			}
			t := record(from, s, mean, seed)
			for k, how := range hows {
				f, err := play(t, newLRU(1<<60, false), how)
				if err != nil {
					return nil, err
				}
				points[k].add(f)
			}
		}
		fmt.Fprintf(w, "\n%s\n%-28s %10s %10s %10s %15s %13s\n", s.name, "prefetched", "MB a week", "then used", "per used", "without mirror", "first client")
		for _, p := range points {
			fmt.Fprintf(w, "%-28s %10.1f %10.1f %10s %14.1f%% %12.1f%%\n", p.name, weekly(p.prefetched), weekly(p.prefUsed),
				perUsed(p.figures), 100*ratio(p.wavesFree, p.waves), 100*ratio(p.firstFree, p.first))
		}
		if i == 0 {
			curve = append(points[:1:1], points[len(ways)-2:]...)
		}
	}
	slices.SortFunc(curve, func(x, y point) int { return cmp.Compare(x.prefetched, y.prefetched) })
	return curve, nil
}

// weekly is n bytes in the measured weeks, in MB a week of the real archive, of the mean
// run.
func weekly(n int64) float64 { return float64(n) * scale / 1e6 / (measured - warmUp) / runs }

func perUsed(f figures) string {
	if f.prefUsed == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ratio(f.prefetched, f.prefUsed))
}

// playBox replays a trace with a new box.
func playBox(t trace, quota int64, p prefetching) (f figures, err error) {
	b, err := newBox(quota)
	if err != nil {
		return f, err
	}
	f, err = play(t, b, p)
	if e := b.close(); err == nil {
		err = e
	}
	return f, err
}

// quotas are the sizes of caches, as parts of what has been requested in the end.
var quotas = []float64{0.1, 0.2, 0.4, 0.7}

// against is the figures of the ways to evict, with a cache of quota bytes.
type against struct {
	quota                int64
	lru, superseded, box figures
}

// compareEviction replays a trace with each way to evict.
func compareEviction(t trace, quota int64) (a against, err error) {
	a.quota = quota
	if a.lru, err = play(t, newLRU(quota, false), prefetching{}); err != nil {
		return a, err
	}
	if a.superseded, err = play(t, newLRU(quota, true), prefetching{}); err != nil {
		return a, err
	}
	a.box, err = playBox(t, quota, prefetching{})
	return a, err
}

// tellEviction prints the hit ratios of a trace, of requests and of bytes.
func tellEviction(w io.Writer, t trace) error {
	endless := newLRU(1<<60, false)
	all, err := play(t, endless, prefetching{})
	if err != nil {
		return err
	}
	scan := "nobody scans"
	for _, q := range t.requests {
		if q.client < 0 {
			scan = fmt.Sprintf("one package in %d of the archive is downloaded once", scanNth)
		}
	}
	fmt.Fprintf(w, "\nhits of requests / of bytes, where %s; without eviction %s\n", scan, hits(all))
	fmt.Fprintf(w, "%8s %18s %18s %18s\n", "cache", "plain LRU", "superseded, LRU", "box")
	for _, part := range quotas {
		a, err := compareEviction(t, int64(part*float64(endless.bytes)))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%5.1f GB %18s %18s %18s\n", float64(a.quota)*scale/1e9, hits(a.lru), hits(a.superseded), hits(a.box))
	}
	return nil
}

func hits(f figures) string {
	return fmt.Sprintf("%.1f%% / %.1f%%", 100*ratio(f.hits, f.requests), 100*ratio(f.hitBytes, f.bytes))
}
