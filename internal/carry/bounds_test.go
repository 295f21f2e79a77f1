package carry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/jobs"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// A tree with more suites than an import takes, with longer names and Releases than it
// reads, costs no more than one with as many as it takes.
func TestImportIsBounded(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	dir := t.TempDir()
	const most, more = 100, 7
	for i := range most + more {
		put(t, filepath.Join(dir, fmt.Sprintf("dists/s%05d/Release", i)), "Suite: stable")
	}
	put(t, filepath.Join(dir, "hello_1_all.deb"), "hello")
	im := newImporter(t, b)
	im.suites = most
	r := im.must(t, dir)
	if r.Taken != 1 {
		t.Errorf("taken %d", r.Taken)
	}
	wantSkipped(t, r, map[Reason]int64{TooMany: more, NoURL: most})
	for _, s := range r.Skipped() {
		if len(s.Examples) != maxExamples {
			t.Errorf("%s: %d examples", s.Reason, len(s.Examples))
		}
	}

	long := filepath.Join(t.TempDir(), "archive.example.org/debian/dists/stable/InRelease")
	put(t, long, "")
	if err := os.Truncate(long, peer.MaxRelease+1); err != nil {
		t.Fatal(err)
	}
	r = im.must(t, filepath.Join(long, "../../../../.."))
	wantSkipped(t, r, map[Reason]int64{NotSigned: 1})
	if s := r.Skipped(); len(s) == 1 && !strings.Contains(s[0].Examples[0], "longer than") {
		t.Errorf("a long Release: %q", s[0].Examples)
	}
}

// Files that find no room beside others are put off, and no more than maxLater of them.
func TestPutOffIsBounded(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	r := &run{Importer: newImporter(t, b), report: newReport()}
	for i := range maxLater {
		if !r.putOff(item{rel: fmt.Sprint(i)}) {
			t.Fatalf("%d files are too many", i)
		}
	}
	if r.putOff(item{rel: "one more"}) || len(r.later) != maxLater {
		t.Errorf("%d files are put off", len(r.later))
	}
}

// endless is text without an end.
type endless string

func (e endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		n += copy(b[n:], e)
	}
	return n, nil
}

func TestWantListIsBounded(t *testing.T) {
	const few, small = 100, 1 << 20
	text := wantVersion + "\nsuite http://archive.example.org/debian/dists/stable -\n" + strings.Repeat("index a\n", few-1)
	if _, err := readWantList(strings.NewReader(text+fmt.Sprintf("end %d\n", few)), few, small); err != nil {
		t.Errorf("as many lines as there may be: %v", err)
	}
	if _, err := readWantList(strings.NewReader(text+"index b\n"+fmt.Sprintf("end %d\n", few+1)), few, small); err == nil || !strings.Contains(err.Error(), "more lines") {
		t.Errorf("a line more: %v", err)
	}
	if _, err := readWantList(endless(wantVersion+"\n#\n"), few, small); err == nil {
		t.Error("an endless list was read")
	}
	comments := struct{ *strings.Reader }{strings.NewReader(wantVersion + "\n" + strings.Repeat("#\n", small))}
	if _, err := readWantList(comments, few, small); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a list that is too long: %v", err)
	}
}

// pool is a catalog with one suite, which lists packages.
type pool struct {
	Generations
	packages []catalog.Entry
}

var poolSuite = catalog.SuiteInfo{Location: catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/debian/dists/stable"}}

func (pool) Suites() []catalog.SuiteInfo { return []catalog.SuiteInfo{poolSuite} }
func (p pool) Packages(catalog.Location) iter.Seq2[catalog.Entry, error] {
	return func(yield func(catalog.Entry, error) bool) {
		for _, e := range p.packages {
			if !yield(e, nil) {
				return
			}
		}
	}
}
func (pool) Sources(catalog.Location) iter.Seq2[catalog.Entry, error] {
	return func(func(catalog.Entry, error) bool) {}
}
func (pool) Listed(catalog.Location, digest.Digest) iter.Seq2[catalog.Entry, error] {
	return func(func(catalog.Entry, error) bool) {}
}
func (pool) ReleaseFile(catalog.Location, digest.Digest, string) (digest.Digest, bool) {
	return digest.Digest{}, false
}

// brings is a store that interrupts an export when so many files were opened for it, and
// a Fetcher that finds all there.
type brings struct {
	Store
	after  int
	cancel func()
}

func (s *brings) Stat(d digest.Digest) (store.Info, error) {
	if s.after--; s.after == 0 {
		s.cancel()
	}
	return s.Store.Stat(d)
}

func (*brings) Keep(context.Context, catalog.Entry) error       { return nil }
func (*brings) Refresh(context.Context, catalog.Location) error { return errors.New("there is none") }

// A stick that others have filled does not lead what is written out of it.
func TestExportStaysInside(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	tree, dir, outside := t.TempDir(), t.TempDir(), t.TempDir()
	put(t, filepath.Join(tree, "hello_1_all.deb"), "hello")
	newImporter(t, b).must(t, tree)
	secret := filepath.Join(outside, "hello_1_all.deb")
	put(t, secret, "other")
	p := pool{packages: []catalog.Entry{{Location: catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/debian/pool/hello_1_all.deb"}, Digest: digest.Of([]byte("hello")), Size: 5, Kind: catalog.Content}}}
	x := Exporter{Store: b.Store, Catalog: p, Meter: jobs.NewMeter()}

	host := filepath.Join(dir, "archive.example.org")
	if err := errors.Join(os.Mkdir(filepath.Join(outside, "debian"), 0o755), os.Symlink(outside, host)); err != nil {
		t.Fatal(err)
	}
	if r, err := x.Export(t.Context(), dir, nil); err == nil || r.Taken != 0 {
		t.Errorf("a directory that is a link out of it: %+v, %v", r, err)
	}
	if _, err := os.Lstat(filepath.Join(outside, "debian/pool")); err == nil {
		t.Error("something was written beside the directory")
	}

	// A file that is a link gives way to one.
	name := filepath.Join(host, "debian/pool/hello_1_all.deb")
	if err := errors.Join(os.Remove(host), os.MkdirAll(filepath.Dir(name), 0o755), os.Symlink(secret, name), os.Symlink(secret, name+beside)); err != nil {
		t.Fatal(err)
	}
	if r, err := x.Export(t.Context(), dir, nil); err != nil || r.Taken != 1 {
		t.Errorf("a file that is a link: %+v, %v", r, err)
	}
	if i, err := os.Lstat(name); err != nil || !i.Mode().IsRegular() {
		t.Errorf("the link stays: %v", err)
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "other" {
		t.Errorf("the file that it led to has %q, %v", text, err)
	}
}

// An export and a fill that are interrupted midway leave whole files, and go on there.
func TestExportAndFillInterrupted(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	tree := t.TempDir()
	const files = 50
	var p pool
	list := new(WantList)
	for i := range files {
		data := fmt.Sprintf("package %d", i)
		name := fmt.Sprintf("p%d_1_all.deb", i)
		put(t, filepath.Join(tree, name), data)
		e := catalog.Entry{Location: catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/debian/pool/" + name}, Digest: digest.Of([]byte(data)), Size: int64(len(data)), Kind: catalog.Content}
		p.packages = append(p.packages, e)
		list.Files = append(list.Files, WantedFile{e.Digest, e.Size, e.Location})
	}
	newImporter(t, b).must(t, tree)
	for name, do := range map[string]func(ctx context.Context, s *brings, dir string, m *jobs.Meter) (*Report, error){
		"export": func(ctx context.Context, s *brings, dir string, m *jobs.Meter) (*Report, error) {
			s.after += files // which are counted first
			return (&Exporter{Store: s, Catalog: p, Meter: m}).Export(ctx, dir, nil)
		},
		"fill": func(ctx context.Context, s *brings, dir string, m *jobs.Meter) (*Report, error) {
			return (&Filler{Store: s, Catalog: p, Fetch: s, Meter: m}).Fill(ctx, dir, list)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first, err := do(ctx, &brings{Store: b.Store, after: files / 2, cancel: cancel}, dir, jobs.NewMeter())
			if !errors.Is(err, context.Canceled) || first.Taken == 0 || first.Taken >= files {
				t.Fatalf("interrupted with %d files: %v", first.Taken, err)
			}
			found, err := filepath.Glob(filepath.Join(dir, "archive.example.org/debian/pool/*"))
			if err != nil || int64(len(found)) != first.Taken {
				t.Errorf("%d files are there, %v; %d were told", len(found), err, first.Taken)
			}
			m := jobs.NewMeter()
			again, err := do(t.Context(), &brings{Store: b.Store, cancel: func() {}}, dir, m)
			if err != nil || again.Held != first.Taken || again.Taken != files-first.Taken || again.Missing != 0 {
				t.Errorf("first %d, then %+v, %v", first.Taken, again, err)
			}
			if done := m.Progress().Done; done.Files != files || done != m.Progress().Total {
				t.Errorf("progress at the end is %+v", m.Progress())
			}
		})
	}
}
