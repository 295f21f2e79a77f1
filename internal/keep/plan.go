package keep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb822"
	"millpond/internal/digest"
	"millpond/internal/keep/closure"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// system is the suites of one line, in the generations that they are to have.
type system struct {
	line   string
	suites []*member
	of     digest.Digest // as in record
}

// member is a suite in a system.
type member struct {
	*suite
	gen   catalog.Generation
	later bool
}

// planned reports whether the system has a plan for just these generations.
func (y *system) planned() bool {
	for _, m := range y.suites {
		if m.record.Of != y.of || !m.record.Ready {
			return false
		}
	}
	return true
}

// planning is the making of one plan.
type planning struct {
	k     *Keeper
	y     *system
	batch *kv.Batch
	world *closure.World
	// sources are the versions of source packages that what is selected was built from.
	sources map[string]map[string]bool
}

// plan writes down which files the system needs. Indices are fetched for that. An error
// leaves what is complete as it is.
func (k *Keeper) plan(ctx context.Context, y *system) error {
	for _, m := range y.suites {
		r := &m.record
		r.Plan++
		r.Ready, r.Switched, r.Settled = false, false, false
		r.Of, r.System, r.Wanted, r.WantedDate = y.of, y.line, m.gen.ID, m.gen.Date
		r.Lacks, r.MoreLacks = nil, 0
	}
	if err := k.saveAll(y); err != nil {
		return err
	}
	p := &planning{k: k, y: y, batch: k.files.table.Batch(), world: closure.NewWorld(), sources: make(map[string]map[string]bool)}
	defer p.batch.Cancel()
	indices, err := p.fetchIndices(ctx)
	if err != nil {
		return err
	}
	if err := p.choose(ctx, indices); err != nil {
		return err
	}
	if err := p.batch.Flush(); err != nil {
		return err
	}
	if err := k.sweep(y); err != nil {
		return err
	}
	if err := k.checkRoom(); err != nil {
		return err
	}
	for _, m := range y.suites {
		m.record.Ready = true
	}
	return k.saveAll(y)
}

func (k *Keeper) saveAll(y *system) error {
	all := make([]*suite, len(y.suites))
	for i, m := range y.suites {
		all[i] = m.suite
	}
	return k.files.save(all...)
}

// heldIndex is an index that is held.
type heldIndex struct {
	*index
	of     int // number of the suite in the system
	digest digest.Digest
}

// fetchIndices has the store hold the Release and the indices of all suites, and pins
// them.
func (p *planning) fetchIndices(ctx context.Context) (held []heldIndex, err error) {
	for i, m := range p.y.suites {
		if err := p.wantRelease(m); err != nil {
			return nil, m.fault(err)
		}
		all, err := p.readsAll(ctx, m)
		if err != nil {
			return nil, m.fault(err)
		}
		for _, x := range m.indices() {
			if x.optional && !all {
				continue
			}
			d, ok, err := p.fetchIndex(ctx, m, x.path)
			if err == nil && !ok && x.optional {
				continue
			}
			if err == nil && !ok {
				err = fmt.Errorf("the Release lists no %s: check components and architectures", x.path)
			}
			if err != nil {
				return nil, m.fault(err)
			}
			held = append(held, heldIndex{x, i, d})
		}
		for _, path := range m.beside() {
			if _, _, err := p.fetchIndex(ctx, m, path); err != nil {
				return nil, m.fault(err)
			}
		}
	}
	return held, nil
}

// readsAll reports whether clients of the suite read the indices in binary-all.
func (p *planning) readsAll(ctx context.Context, m *member) (bool, error) {
	blob, err := p.k.store.OpenVerified(ctx, m.gen.ID)
	if err != nil {
		return false, err
	}
	defer blob.Close()
	r, err := deb822.ParseRelease(blob) // the lines of a signature are no fields
	if err != nil {
		return false, err
	}
	return r.BinaryAll, nil
}

// wantRelease adds the Release files of a suite, which are held: the catalog learned
// the generation from them.
func (p *planning) wantRelease(m *member) error {
	info, err := p.k.store.Stat(m.gen.ID)
	if err != nil {
		return err
	}
	name := "InRelease"
	if info.Name == "Release" || !m.gen.Signature.IsZero() {
		name = "Release"
	}
	if err := p.want(m, row{digest: m.gen.ID, size: info.Size, path: m.dir.Join(name).Path}); err != nil || m.gen.Signature.IsZero() {
		return err
	}
	if info, err = p.k.store.Stat(m.gen.Signature); err != nil {
		return err
	}
	return p.want(m, row{digest: m.gen.Signature, size: info.Size, path: m.dir.Join("Release.gpg").Path})
}

// fetchIndex has the store hold an index in the first compression that there is. ok is
// false if the Release lists none.
func (p *planning) fetchIndex(ctx context.Context, m *member, path string) (d digest.Digest, ok bool, err error) {
	pin := func(dir catalog.Location) digest.Digest {
		if dir == m.dir {
			return m.gen.ID
		}
		return digest.Digest{}
	}
	for _, form := range catalog.Compressed(path) {
		e := p.k.catalog.Resolve(ctx, m.dir.Join(form), pin)
		if e.Kind != catalog.Content || e.Suite != m.dir || e.Release != m.gen.ID {
			continue
		}
		ok = true
		r := row{digest: e.Digest, size: e.Size, path: e.Location.Path}
		if err = p.k.hold(ctx, m.suite, r, e); err == nil {
			return e.Digest, true, p.want(m, r)
		}
		// Releases list plain indices that no mirror has.
		if !mirror.IsAbsent(err) {
			return digest.Digest{}, false, err
		}
	}
	return digest.Digest{}, ok, err
}

// choose adds the files of packages that are wanted.
func (p *planning) choose(ctx context.Context, indices []heldIndex) error {
	var names []string
	for _, m := range p.y.suites {
		names = append(names, m.names()...)
	}
	selecting := false
	for _, x := range indices {
		selecting = selecting || !x.all() && !x.source()
	}
	for _, x := range indices {
		if !x.source() && (selecting || x.all()) {
			if err := p.readPackages(ctx, x, selecting); err != nil {
				return err
			}
		}
	}
	if selecting {
		if err := p.resolve(names); err != nil {
			return err
		}
	}
	p.world = nil // Sources are large, too
	for _, x := range indices {
		if x.source() {
			if err := p.readSources(ctx, x); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPackages reads an index. All that it lists is added if it is kept whole; for
// what is selected elsewhere its packages are in the world.
func (p *planning) readPackages(ctx context.Context, x heldIndex, selecting bool) error {
	m := p.y.suites[x.of]
	text, done, err := p.k.open(ctx, x.digest)
	if err != nil {
		return m.fault(err)
	}
	defer done()
	for s, err := range deb822.PackageStanzas(text) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && x.all() {
			err = p.wantFile(m, s.File)
		}
		if err == nil && selecting {
			err = p.addToWorld(s, x)
		}
		if err != nil {
			return m.fault(fmt.Errorf("%s: %w", x.path, err))
		}
	}
	return nil
}

func (p *planning) addToWorld(s deb822.Package, x heldIndex) error {
	selected := x.selects(s.Name, s.Section, s.Priority)
	for _, arch := range x.archs {
		at := closure.Index{Slice: x.of, Arch: arch, Later: p.y.suites[x.of].later}
		if err := p.world.Add(s, at, selected); err != nil {
			return err
		}
	}
	return nil
}

// resolve adds what is selected and what that depends on.
func (p *planning) resolve(names []string) error {
	r := p.world.Resolve(names)
	for _, f := range r.Files {
		m := p.y.suites[f.Slice]
		if err := p.wantFile(m, deb822.File{Path: f.Path, Size: f.Size, Digest: f.Digest}); err != nil {
			return err
		}
		// "glibc (2.36-9)" has the version that the binary package has not.
		name, version, other := strings.Cut(f.Source, " (")
		if version = strings.TrimSuffix(version, ")"); !other {
			version = f.Version
		}
		if p.sources[name] == nil {
			p.sources[name] = make(map[string]bool)
		}
		p.sources[name][version] = true
	}
	for _, m := range p.y.suites {
		m.record.Lacks, m.record.MoreLacks = r.Lacks, r.More
	}
	return nil
}

// readSources adds what is wanted of an index of source packages.
func (p *planning) readSources(ctx context.Context, x heldIndex) error {
	m := p.y.suites[x.of]
	text, done, err := p.k.open(ctx, x.digest)
	if err != nil {
		return m.fault(err)
	}
	defer done()
	for s, err := range deb822.SourceStanzas(text) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return m.fault(fmt.Errorf("%s: %w", x.path, err))
		}
		if !x.all() && !x.selects(s.Name, s.Section, s.Priority) && !p.sources[s.Name][s.Version] {
			continue
		}
		for _, f := range s.Files {
			if err := p.wantFile(m, f); err != nil {
				return m.fault(err)
			}
		}
	}
	return nil
}

// wantFile adds a file that an index of the suite lists.
func (p *planning) wantFile(m *member, f deb822.File) error {
	base, _, _ := m.dir.SplitSuite()
	return p.want(m, row{digest: f.Digest, size: f.Size, path: base.Join(f.Path).Path})
}

// want adds a file to the plan.
func (p *planning) want(m *member, r row) error {
	old, _, err := p.k.files.get(m.dir.String(), r.digest)
	if err != nil && !errors.Is(err, errRow) {
		return err
	}
	r.complete, r.plan = old.complete, m.record.Plan
	return p.batch.Put(fileKey(m.dir.String(), r.digest), r.encode())
}

// sweep forgets the files that neither the plan needs nor the generation in which the
// suite is complete, and counts those of the plan.
func (k *Keeper) sweep(y *system) error {
	for _, m := range y.suites {
		m.record.Files, m.record.Bytes = 0, 0
		for r, err := range k.files.of(m.dir.String()) {
			if err != nil {
				return err
			}
			if r.plan == m.record.Plan {
				m.record.Files++
				m.record.Bytes += max(r.size, 0)
				continue
			}
			if r.complete {
				continue
			}
			if err := k.release(m.suite, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// release forgets a file, which may be evicted then.
func (k *Keeper) release(s *suite, r row) error {
	if err := k.store.Unpin(r.digest, s.owner); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return k.files.table.Delete(fileKey(s.dir.String(), r.digest))
}
