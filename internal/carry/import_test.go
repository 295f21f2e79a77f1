package carry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noReleases takes none: the tests with real signatures are in e2e/carry.
type noReleases struct{}

func (noReleases) Bring(context.Context, catalog.Location, catalog.ReleaseFiles, func(digest.Digest) error) (catalog.Generation, error) {
	return catalog.Generation{}, errors.New("no key of the keyring signed it")
}

func newImporter(t testing.TB, b *boxtest.Box) *Importer {
	return &Importer{Store: b.Store, Catalog: b.Catalog, Releases: noReleases{}, Journal: b.DB.Table("carry"), Meter: jobs.NewMeter()}
}

func (im *Importer) must(t testing.TB, dirs ...string) *Report {
	t.Helper()
	r, err := im.Import(t.Context(), Import{Dirs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// put makes a file an hour old.
func put(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	stamp(t, name)
}

var anHourAgo = time.Now().Add(-time.Hour).Truncate(time.Second)

func stamp(t testing.TB, name string) {
	t.Helper()
	if err := os.Chtimes(name, anHourAgo, anHourAgo); err != nil {
		t.Fatal(err)
	}
}

// wantSkipped checks how many files were skipped, by their reasons.
func wantSkipped(t *testing.T, r *Report, want map[Reason]int64) {
	t.Helper()
	for _, s := range r.Skipped() {
		if s.Files != want[s.Reason] {
			t.Errorf("skipped %d: %s %q, want %d", s.Files, s.Reason, s.Examples, want[s.Reason])
		}
		delete(want, s.Reason)
	}
	for reason, n := range want {
		t.Errorf("none of %d skipped: %s", n, reason)
	}
}

func TestImportOddFiles(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	dir, outside := t.TempDir(), t.TempDir()
	put(t, filepath.Join(dir, "pool/hello_1_all.deb"), "hello")
	put(t, filepath.Join(dir, "pool/hello_1_all.deb.head"), "HTTP/1.1 200 OK")
	put(t, filepath.Join(dir, "pool/notes.txt"), "notes")
	put(t, filepath.Join(dir, "partial/half_1_all.deb"), "half")
	put(t, filepath.Join(dir, "data_2%3a1.0_all.deb"), "data")
	put(t, filepath.Join(outside, "secret_1_all.deb"), "secret")
	put(t, filepath.Join(dir, "bad\xff_1_all.deb"), "name")
	put(t, filepath.Join(dir, "dists/stable/Release"), "Suite: stable")
	put(t, filepath.Join(dir, "dists/stable/main/binary-amd64/Packages"), "Package: hello")
	put(t, filepath.Join(dir, strings.Repeat("d/", maxDepth+1)+"deep_1_all.deb"), "deep")
	for link, to := range map[string]string{
		"out_1_all.deb": filepath.Join(outside, "secret_1_all.deb"), "up_1_all.deb": "../" + filepath.Base(outside) + "/secret_1_all.deb",
		"none_1_all.deb": "missing", "loop": ".", "inside_1_all.deb": "pool/hello_1_all.deb",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe_1_all.deb"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newImporter(t, b).must(t, dir)
	if r.Taken != 2 || r.Held != 1 || r.Unlisted != 2 {
		t.Errorf("taken %d, held %d, unlisted %d; want 2, 1 and 2", r.Taken, r.Held, r.Unlisted)
	}
	wantSkipped(t, r, map[Reason]int64{NotArchives: 2, LinkOut: 4, BadName: 1, Special: 1, TooDeep: 1, NoURL: 2})
	if _, err := b.Store.Stat(digest.Of([]byte("secret"))); err == nil {
		t.Error("a file outside of the directory was imported")
	}
	info, err := b.Store.Stat(digest.Of([]byte("data")))
	if err != nil || info.Name != "data_1.0_all.deb" || info.Party != unlistedParty {
		t.Errorf("a file with an epoch: %+v, %v", info, err)
	}
}

func TestImportHashesOnce(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	dir := t.TempDir()
	name := filepath.Join(dir, "hello_1_all.deb")
	put(t, name, "hello")
	if err := os.Chmod(name, 0o600); err != nil { // so that it is copied
		t.Fatal(err)
	}
	im := newImporter(t, b)
	if r := im.must(t, dir); r.Taken != 1 || r.Linked != 0 {
		t.Fatalf("%+v", r)
	}
	// Other bytes, as only who does not read them does not see.
	put(t, name, "olleh")
	if r := im.must(t, dir); r.Held != 1 || r.Taken != 0 {
		t.Errorf("the file was hashed again: %+v", r)
	}
	if err := b.Store.Remove(digest.Of([]byte("hello"))); err != nil {
		t.Fatal(err)
	}
	if r := im.must(t, dir); r.Taken != 1 {
		t.Errorf("a file that is not held any more was not hashed again: %+v", r)
	}
	if _, err := b.Store.Stat(digest.Of([]byte("olleh"))); err != nil {
		t.Error(err)
	}
}

func TestImportFullCache(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{Quota: 8 << 20})
	dir := t.TempDir()
	for i := range 20 {
		put(t, filepath.Join(dir, fmt.Sprintf("p%d_1_all.deb", i)), string(bytes.Repeat([]byte{byte(i)}, 1<<20)))
	}
	r := newImporter(t, b).must(t, dir)
	u := b.Store.Usage()
	if r.Taken == 0 || r.Taken != u.Blobs || u.Bytes > u.QuotaBytes || u.Partial != 0 {
		t.Errorf("taken %d, usage %+v", r.Taken, u)
	}
	wantSkipped(t, r, map[Reason]int64{NoRoom: 20 - r.Taken})
}

// What is hashed at once takes no room from each other: all of what fits is imported.
func TestImportOfWhatFits(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{Quota: 64 << 20})
	dir := t.TempDir()
	const files = 24
	for i := range files { // together less than the cache, and several more than its share for such
		put(t, filepath.Join(dir, fmt.Sprintf("p%d_1_all.deb", i)), string(bytes.Repeat([]byte{byte(i)}, 2<<20)))
	}
	r := newImporter(t, b).must(t, dir)
	if r.Taken != files {
		t.Errorf("taken %d of %d, %+v", r.Taken, files, r.Skipped())
	}
}

func TestImportInterrupted(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	dir := t.TempDir()
	const files = 600
	for i := range files {
		put(t, filepath.Join(dir, fmt.Sprintf("p%d_1_all.deb", i)), fmt.Sprint("package ", i))
	}
	im := newImporter(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	im.Catalog = &interrupting{Catalog: im.Catalog, after: files / 2, cancel: cancel}
	r, err := im.Import(ctx, Import{Dirs: []string{dir}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("an interrupted import ended with %v", err)
	}
	im.Catalog = b.Catalog
	again := im.must(t, dir)
	if r.Taken+again.Taken != files || again.Held != r.Taken || b.Store.Usage().Blobs != files {
		t.Errorf("first %d, then %d with %d held, usage %+v", r.Taken, again.Taken, again.Held, b.Store.Usage())
	}
}

// interrupting ends the import when so many files were hashed.
type interrupting struct {
	Catalog
	mu     sync.Mutex // guards after
	after  int
	cancel func()
}

func (i *interrupting) InUse(d digest.Digest) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.after--; i.after == 0 {
		i.cancel()
	}
	return i.Catalog.InUse(d)
}

func TestJournalIsBounded(t *testing.T) {
	b := boxtest.New(t, boxtest.Options{})
	j := &journal{table: b.DB.Table("carry")}
	var rows []entry
	for i := range 100 {
		rows = append(rows, entry{append([]byte{'j'}, fmt.Sprint("key", i)...), digest.Of([]byte{byte(i)})})
	}
	if err := j.write(rows); err != nil {
		t.Fatal(err)
	}
	if err := j.open(100); err != nil || j.empty {
		t.Fatal(err)
	}
	if d, err := j.find(rows[7].key); err != nil || d != rows[7].d {
		t.Fatalf("within the bound: %v, %v", d, err)
	}
	if err := j.open(99); err != nil || !j.empty {
		t.Fatal(err)
	}
	if d, err := j.find(rows[7].key); err != nil || !d.IsZero() {
		t.Errorf("beyond the bound: %v, %v", d, err)
	}
}
