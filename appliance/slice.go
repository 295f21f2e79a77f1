package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/follow"
	"millpond/internal/keep"
	"millpond/internal/prefetch"
	"millpond/internal/rings"
)

// openSlice opens what decides, beside clients, which part of the archives the box holds.
func (a *Appliance) openSlice() (err error) {
	a.follow = follow.New(follow.Options{
		Catalog: a.catalog, Store: a.store, Fetch: a.fetch, Prefetch: changes{a}, Entries: a.config.Follow,
		Offline: a.config.Offline, Log: a.log.With("part", "follow"),
	})
	a.prefetch, err = prefetch.New(prefetch.Options{
		Table: a.db.Table("prefetch"), Catalog: a.catalog, Store: a.store, Fetch: fetchAhead{a.fetch}, Follow: a.follow,
		Offline: a.config.Offline, Budget: int64(a.config.Prefetch), Log: a.log.With("part", "prefetch"),
	})
	if err != nil {
		return err
	}
	a.rings, err = rings.Open(rings.Options{
		Catalog: a.catalog, Store: a.store, Fetcher: a.fetch, Dated: datedArchives(a.config.Follow), Table: a.db.Table("rings"),
		Setting: a.config.Rings, Log: a.log.With("part", "rings"),
	})
	if err != nil {
		return err
	}
	a.keep = keep.New(keep.Options{
		Slices: a.config.kept, Catalog: a.catalog, Store: a.store, Fetch: a.fetch, Table: a.db.Table("keep"), Log: a.log.With("part", "keep"),
	})
	return nil
}

// changes tells of a suite's new generation those that fetch what it lists.
type changes struct{ a *Appliance }

func (c changes) Changed(suite catalog.Location) {
	c.a.prefetch.Changed(suite)
	c.a.keep.Changed(suite)
}

// fetchAhead is the Fetcher in the words of prefetch, which stands beside it.
type fetchAhead struct{ *fetch.Fetcher }

var _ prefetch.Fetcher = fetchAhead{}

func (f fetchAhead) Ahead(ctx context.Context, e catalog.Entry, replaces []digest.Digest) (prefetch.Brought, error) {
	b, err := f.Fetcher.Ahead(ctx, e, replaces)
	return prefetch.Brought(b), err
}

// follows reports whether a suite is followed. fetch, which the follower works with, asks
// no mirror before both are there.
func (a *Appliance) follows(suite catalog.Location) bool { return a.follow.Follows(suite) }

// holds reports whether a ring or a kept slice holds a generation of a suite. The catalog
// is opened before these, and asks nothing before they are there.
func (a *Appliance) holds(suite catalog.Location, id digest.Digest) bool {
	return a.rings != nil && a.rings.Holds(suite, id) || a.keep != nil && a.keep.Holds(suite, id)
}

// complete is the generation of a suite in which the box holds all that it is to keep.
func (a *Appliance) complete(dir catalog.Location) digest.Digest { return a.keep.Complete(dir) }

// keptSlices are the suites of MILLPOND_FOLLOW of which packages are held complete.
func keptSlices(entries []follow.Entry) (all []keep.Slice, err error) {
	for _, e := range entries {
		if e.Depth != follow.All && e.Depth != follow.Selected {
			continue
		}
		s := keep.Slice{Components: e.Components, Architectures: slices.Clone(e.Architectures), All: e.Depth == follow.All}
		if e.Sources {
			s.Architectures = append(s.Architectures, deb.Source)
		}
		for _, t := range e.Terms {
			switch t.Kind {
			case "section":
				s.Sections = append(s.Sections, t.Value)
			case "priority":
				s.Priorities = append(s.Priorities, t.Value)
			case "package":
				s.Packages = append(s.Packages, t.Value)
			case "list":
				names, err := readPackages(t.Value)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", e, err)
				}
				s.Packages = append(s.Packages, names...)
			}
		}
		for _, dir := range e.Dirs() {
			s.Suite = dir
			all = append(all, s)
		}
	}
	return all, nil
}

// readPackages reads a list of packages: on each line a name, behind which anything may
// stand, as in what dpkg --get-selections prints. Lines that begin with # do not count.
func readPackages(file string) (names []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		name, _, _ := strings.Cut(fields[0], ":") // libc6:amd64
		names = append(names, name)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s names no package; write one on each line", file)
	}
	return names, nil
}

// datedArchives are those of MILLPOND_FOLLOW, by the archive of which they are.
func datedArchives(entries []follow.Entry) map[catalog.Location]catalog.Location {
	all := make(map[catalog.Location]catalog.Location)
	for _, e := range entries {
		if e.Dated != (catalog.Location{}) {
			all[e.Archive] = e.Dated
		}
	}
	return all
}
