package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/prefetch"
	"millpond/internal/store"
)

// planner is the Prefetcher of a box over the archive and the cache of a replay: it
// decides what is fetched ahead, and in which order. The archive is one suite, with a
// generation for each week in which something changes.
//
// A package that changes its name with each version is what another one, of the same name
// with latest behind it, depends on. Clients that have one have both.
type planner struct {
	*prefetch.Prefetcher
	box     *box // of the books, and of indices
	replay  *replay
	now     time.Duration
	entries map[file]catalog.Entry

	generations [2]generation // the one before, and the one in force
	listed      map[digest.Digest]bool

	mu   sync.Mutex // guards what follows, and replay while a wave is fetched
	held map[digest.Digest]listing
}

// generation is what the suite lists in a week.
type generation struct {
	id    digest.Digest
	began time.Duration
	all   []listing // by package, then those that depend on a renamed one
	index catalog.Entry
}

// listing is a listed file. Of what depends on a renamed package, file is that one.
type listing struct {
	catalog.Entry
	file   file
	latest bool
}

// suiteDir is where the archive's suite is.
var suiteDir = catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/debian/dists/stable"}

const suiteIndex = "main/binary-all/Packages"

// unlimited is a budget that no wave uses up.
const unlimited = 1 << 50

// latestSize is that of a package which has nothing but a dependency, scaled.
const latestSize = 64

func newPlanner(r *replay) (*planner, error) {
	b, err := newBox(1 << 40)
	if err != nil {
		return nil, err
	}
	p := &planner{
		box: b, replay: r, entries: make(map[file]catalog.Entry), listed: make(map[digest.Digest]bool),
		held: make(map[digest.Digest]listing),
	}
	p.Prefetcher, err = prefetch.New(prefetch.Options{
		Table: b.db.Table("prefetch"), Catalog: p, Store: p, Fetch: p, Follow: p, Budget: unlimited,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return epoch.Add(p.now) },
	})
	if err == nil {
		err = p.publish(0)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return p, nil
}

func (p *planner) close() error { return p.box.close() }

// entry is the entry of a version of a package.
func (p *planner) entry(f file) catalog.Entry {
	e, ok := p.entries[f]
	if !ok {
		name := p.replay.archive.fileName(f)
		e = entryOf(name, p.replay.archive.size(f))
		p.entries[f] = e
	}
	return e
}

func entryOf(name string, size int64) catalog.Entry {
	return catalog.Entry{
		Location: catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/debian/pool/" + name},
		Kind:     catalog.Content, Digest: digest.Of([]byte(name)), Size: size, Signed: true,
	}
}

// fileName names a version of a package.
func (a *archive) fileName(f file) string {
	p := a.pkgs[f.pkg]
	return fmt.Sprintf("%s_1.%d_%s.deb", a.nameOf(f), f.version, p.arch)
}

func (a *archive) nameOf(f file) string {
	p := a.pkgs[f.pkg]
	if p.renamed {
		return fmt.Sprintf("%s.%d", p.name, f.version)
	}
	return p.name
}

// latestOf is what depends on a version of a renamed package.
func (a *archive) latestOf(f file) catalog.Entry {
	p := a.pkgs[f.pkg]
	return entryOf(fmt.Sprintf("%s-latest_1.%d_%s.deb", p.name, f.version, p.arch), latestSize)
}

// publish has the suite list what there is in a week.
func (p *planner) publish(w int) error {
	g := generation{id: digest.Of(fmt.Append(nil, "generation", w)), began: time.Duration(w) * week}
	a := p.replay.archive
	var text bytes.Buffer
	clear(p.listed)
	var latest []listing
	for i := range a.pkgs {
		f := file{i, a.pkgs[i].version(w)}
		e := p.entry(f)
		g.all = append(g.all, listing{e, f, false})
		p.listed[e.Digest] = true
		if a.pkgs[i].renamed {
			l := a.latestOf(f)
			latest = append(latest, listing{l, f, true})
			p.listed[l.Digest] = true
			writeStanza(&text, a.pkgs[i].name+"-latest", a.pkgs[i].arch, l, "Depends: "+a.nameOf(f)+"\n")
			writeStanza(&text, a.nameOf(f), a.pkgs[i].arch, e, "")
		}
	}
	g.all = append(g.all, latest...)
	// Nothing depends on what is left out of the index.
	d := digest.Of(text.Bytes())
	g.index = catalog.Entry{Location: suiteDir.Join(suiteIndex), Kind: catalog.Content, Digest: d, Size: int64(text.Len()), Signed: true}
	p.generations = [2]generation{p.generations[1], g}
	return p.box.store.Put(d, int64(text.Len()), &text, store.Meta{})
}

func writeStanza(w *bytes.Buffer, name, arch string, e catalog.Entry, more string) {
	version := e.Location.Name()
	_, version, _ = strings.Cut(version, "_")
	version, _, _ = strings.Cut(version, "_")
	fmt.Fprintf(w, "Package: %s\nVersion: %s\nArchitecture: %s\n%sFilename: pool/%s\nSize: %d\nSHA256: %s\n\n",
		name, version, arch, more, e.Location.Name(), e.Size, e.Digest)
}

// wave has the Prefetcher fetch what is new in a week.
func (p *planner) wave(w int) error {
	p.Note() // while what was requested is listed
	p.now = time.Duration(w) * week
	if err := p.publish(w); err != nil {
		return err
	}
	t := p.Wave(context.Background(), suiteDir)
	if t.Error != "" || t.FilesFailed+t.NoRoom+t.NoBudget > 0 {
		return fmt.Errorf("week %d: the prefetch ended with %+v", w, t)
	}
	return nil
}

// noteEvery is how many requests the Prefetcher notes at once, fewer than it remembers.
const noteEvery = 4096

// served tells the Prefetcher of a client's request.
func (p *planner) served(q request, n int, hit bool) {
	p.now = q.at
	e := p.entry(q.file)
	p.hold(listing{e, q.file, false})
	p.Served(e, e.Size, true, hit)
	if a := p.replay.archive; a.pkgs[q.file.pkg].renamed {
		l := a.latestOf(q.file)
		p.hold(listing{l, q.file, true})
		p.Served(l, l.Size, true, hit)
	}
	if n%noteEvery == 0 {
		p.Note()
	}
}

func (p *planner) hold(l listing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[l.Digest] = l
}

// Ahead keeps a file, which may replace what no generation in force lists.
func (p *planner) Ahead(_ context.Context, e catalog.Entry, replaces []digest.Digest) (prefetch.Brought, error) {
	for _, d := range replaces {
		if p.listed[d] {
			return prefetch.Brought{}, fmt.Errorf("%s is to replace what the suite lists", e.Location.Name())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.generations[1].all {
		if l.Digest != e.Digest {
			continue
		}
		p.held[l.Digest] = l
		if l.latest {
			return prefetch.Brought{Mirrors: e.Size}, nil
		}
		return prefetch.Brought{Mirrors: e.Size}, p.replay.ahead(l.file, p.now)
	}
	return prefetch.Brought{}, fmt.Errorf("%s is not listed", e.Location.Name())
}

func (p *planner) ClientsWait() bool { return false }

func (p *planner) Update(context.Context, catalog.Location) error { return nil }

func (p *planner) Suites() []catalog.SuiteInfo {
	return []catalog.SuiteInfo{{
		Location: suiteDir, Codename: "stable", Current: catalog.Generation{ID: p.generations[1].id},
		Indices: []catalog.IndexInfo{{Path: suiteIndex}},
	}}
}

func (p *planner) Packages(dir catalog.Location) iter.Seq2[catalog.Entry, error] {
	return p.PackagesOf(dir, p.generations[1].id)
}

func (p *planner) PackagesOf(_ catalog.Location, id digest.Digest) iter.Seq2[catalog.Entry, error] {
	return func(yield func(catalog.Entry, error) bool) {
		for _, l := range p.generation(id).all {
			if !yield(l.Entry, nil) {
				return
			}
		}
	}
}

func (p *planner) generation(id digest.Digest) generation {
	i := slices.IndexFunc(p.generations[:], func(g generation) bool { return g.id == id })
	return p.generations[i]
}

func (p *planner) Listed(_ catalog.Location, id digest.Digest) iter.Seq2[catalog.Entry, error] {
	return func(yield func(catalog.Entry, error) bool) { yield(p.generation(id).index, nil) }
}

func (p *planner) Moments(catalog.Location) []catalog.Moment {
	before, now := p.generations[0], p.generations[1]
	all := []catalog.Moment{{Generation: catalog.Generation{ID: now.id}}}
	if before.all != nil {
		all = append(all, catalog.Moment{Generation: catalog.Generation{ID: before.id}, Superseded: epoch.Add(now.began)})
	}
	return all
}

func (p *planner) Sources(catalog.Location) iter.Seq2[catalog.Entry, error] {
	return func(func(catalog.Entry, error) bool) {}
}

func (p *planner) Listers(d digest.Digest) ([]catalog.Location, error) {
	if p.listed[d] {
		return []catalog.Location{suiteDir}, nil
	}
	return nil, nil
}

func (p *planner) InForce(d digest.Digest) (bool, error) { return p.listed[d], nil }

func (p *planner) Vouch(e catalog.Entry) catalog.Entry { return e }

func (p *planner) Stat(d digest.Digest) (store.Info, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.held[d]
	if !ok {
		return store.Info{}, fmt.Errorf("%s: %w", d, fs.ErrNotExist)
	}
	return store.Info{Digest: d, Name: l.Location.Name(), Size: l.Size}, nil
}

func (p *planner) OpenVerified(ctx context.Context, d digest.Digest) (*store.Blob, error) {
	return p.box.store.OpenVerified(ctx, d)
}

// Names yields the held files of a name: in the order of names, as the store does.
func (p *planner) Names(prefix, after string) iter.Seq2[store.Named, error] {
	p.mu.Lock()
	var all []store.Named
	for d, l := range p.held {
		if name := l.Location.Name(); name > after && strings.HasPrefix(name, prefix) {
			all = append(all, store.Named{Name: name, Digest: d})
		}
	}
	p.mu.Unlock()
	slices.SortFunc(all, func(a, b store.Named) int { return strings.Compare(a.Name, b.Name) })
	return func(yield func(store.Named, error) bool) {
		for _, n := range all {
			if !yield(n, nil) {
				return
			}
		}
	}
}

func (p *planner) DiskFree() (float64, error) { return 1, nil }
