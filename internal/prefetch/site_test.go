package prefetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// fileSize is that of all files of a site.
const fileSize = 10_000

// site is a Prefetcher over a real catalog and a real store, with a mirror that has every
// file. Its host is trusted, so that its suites count as signed.
type site struct {
	*Prefetcher
	t      *testing.T
	dir    string
	db     *kv.DB
	quota  int64
	budget int64
	names  map[digest.Digest]string // of all files that suites ever listed
	fields map[string]string        // by file: more lines of its stanza
	held   *store.Store
	listed *catalog.Catalog

	busy atomic.Bool // a client waits for a download
	keep func(ctx context.Context, name string) error

	mu      sync.Mutex
	fetched []string // guarded by mu; names, in the order of beginning
}

func newSite(t *testing.T, files int64) *site {
	t.Helper()
	const indices = fileSize * 2 / 3 // room for them
	s := &site{t: t, dir: t.TempDir(), quota: files*fileSize + indices, budget: 1 << 40, names: make(map[digest.Digest]string), fields: make(map[string]string)}
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *site) open() {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.t.Output(), nil))
	db, err := kv.Open(filepath.Join(s.dir, "db"), log)
	mustT(s.t, err)
	s.db = db
	s.held, err = store.Open(store.Options{Dir: s.dir, Table: db.Table("store"), Quota: store.Quota{Bytes: s.quota}, Log: log})
	mustT(s.t, err)
	s.listed, err = catalog.Open(catalog.Options{Table: db.Table("catalog"), Keyring: new(keyring.Keyring), TrustHosts: []string{"deb.example.org"}, Log: log})
	mustT(s.t, err)
	s.Prefetcher, err = New(Options{Table: db.Table("prefetch"), Catalog: s.listed, Store: s.held, Fetch: s, Follow: s, Budget: s.budget, Log: log})
	mustT(s.t, err)
}

func (s *site) close() {
	if err := errors.Join(s.held.Close(), s.db.Close()); err != nil {
		s.t.Error(err)
	}
}

func (s *site) restart() {
	s.t.Helper()
	s.writeBooks()
	s.close()
	s.open()
}

func mustT(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contentOf are the bytes of a file.
func contentOf(name string) []byte {
	b := make([]byte, fileSize)
	seed := digest.Of([]byte(name))
	rand.NewChaCha8(seed).Read(b)
	return b
}

func digestOf(name string) digest.Digest { return digest.Of(contentOf(name)) }

func suiteDir(suite string) catalog.Location {
	return catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/" + suite}
}

// publish makes a suite list these files, and no others any more.
func (s *site) publish(suite string, files ...string) catalog.Location {
	s.t.Helper()
	dir := suiteDir(suite)
	text := map[string]*bytes.Buffer{"main/binary-amd64/Packages": {}, "main/source/Sources": {}}
	for _, f := range files {
		s.names[digestOf(f)] = f
		if strings.HasSuffix(f, "deb") {
			file, _ := deb.ParseFileName(f)
			fmt.Fprintf(text["main/binary-amd64/Packages"], "Package: %s\nVersion: %s\nArchitecture: %s\nFilename: pool/main/x/%s\nSize: %d\nSHA256: %s\n%s\n",
				file.Package, file.Version, file.Architecture, f, fileSize, digestOf(f), s.fields[f])
			continue
		}
		fmt.Fprintf(text["main/source/Sources"], "Package: x\nDirectory: pool/main/x\nChecksums-Sha256:\n %s %d %s\n\n", digestOf(f), fileSize, f)
	}
	var release bytes.Buffer
	fmt.Fprintf(&release, "Codename: %s\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n", suite)
	for name, b := range text {
		fmt.Fprintf(b, "# %d\n", len(s.names)) // another text each time
		fmt.Fprintf(&release, " %s %d %s\n", digest.Of(b.Bytes()), b.Len(), name)
	}
	checked, err := s.listed.CheckRelease(dir, catalog.ReleaseFiles{Release: release.Bytes()})
	mustT(s.t, err)
	_, err = s.listed.Adopt(checked)
	mustT(s.t, err)
	for name, b := range text {
		mustT(s.t, s.held.Put(digest.Of(b.Bytes()), int64(b.Len()), bytes.NewReader(b.Bytes()), store.Meta{Name: "index"}))
		mustT(s.t, s.listed.LearnIndex(s.t.Context(), s.listed.Resolve(s.t.Context(), dir.Join(name), nil), b))
	}
	return dir
}

// get is a client that gets files, as the proxy tells of it.
func (s *site) get(files ...string) {
	s.t.Helper()
	for _, f := range files {
		e := s.listed.Resolve(s.t.Context(), suiteDir("x").Dir().Dir().Join("pool/main/x/"+f), nil)
		if e.Kind != catalog.Content {
			e = catalog.Entry{Location: e.Location, Kind: catalog.Content, Digest: digestOf(f), Size: fileSize} // of an older list
		}
		if e.Digest != digestOf(f) {
			s.t.Fatalf("%s resolves to %+v", f, e)
		}
		blob, err := s.held.Open(e.Digest)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			mustT(s.t, s.held.Put(e.Digest, fileSize, bytes.NewReader(contentOf(f)), store.Meta{Name: f}))
		default:
			mustT(s.t, err)
			mustT(s.t, blob.Close())
		}
		s.Served(e, fileSize, true, err == nil)
	}
	s.noteRequests()
}

// wave has suites be changed and returns what was fetched.
func (s *site) wave(dirs ...catalog.Location) (State, []string) {
	s.t.Helper()
	s.mu.Lock()
	s.fetched = nil
	s.mu.Unlock()
	for _, dir := range dirs {
		s.changes.add(dir, 0)
	}
	s.prefetchChanged(s.t.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.State(), s.fetched
}

func (s *site) wantWave(what string, got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		s.t.Errorf("%s: fetched %v, want %v", what, got, want)
	}
}

func (s *site) wantHeld(what string, want bool, files ...string) {
	s.t.Helper()
	for _, f := range files {
		if _, err := s.held.Stat(digestOf(f)); (err == nil) != want {
			s.t.Errorf("%s: %s is held: %v, want %v", what, f, err == nil, want)
		}
	}
}

var (
	_ Fetcher  = (*site)(nil)
	_ Follower = (*site)(nil)
)

func (s *site) Update(context.Context, catalog.Location) error { return nil }

func (s *site) ClientsWait() bool { return s.busy.Load() }

func (s *site) Ahead(ctx context.Context, e catalog.Entry, replaces []digest.Digest) (b Brought, err error) {
	name := s.names[e.Digest]
	if !e.Signed || name != e.Location.Name() {
		return b, fmt.Errorf("%+v is not ready to be fetched", e)
	}
	s.mu.Lock()
	s.fetched = append(s.fetched, name)
	s.mu.Unlock()
	if s.keep != nil {
		if err := s.keep(ctx, name); err != nil {
			return b, err
		}
	}
	p, err := s.held.For("").PartialReplacing(e.Digest, e.Size, replaces)
	if errors.Is(err, fs.ErrExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	defer p.Discard()
	if _, err := p.WriteAt(contentOf(name), 0); err != nil {
		return b, err
	}
	_, err = p.Commit(store.Meta{Name: name})
	return Brought{Mirrors: e.Size}, err
}
