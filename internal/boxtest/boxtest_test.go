package boxtest_test

import (
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPartsFit goes from the archive to a held blob with nothing in between.
func TestPartsFit(t *testing.T) {
	a := boxtest.NewArchive(t, aptest.MirrorOptions{})
	hello := a.AddPackage("hello", 20<<10)
	g := a.Release(time.Now())
	b := boxtest.New(t, boxtest.Options{Keys: a.Keys})

	dir, err := catalog.ParseLocation("http", a.Mirror.Addr(), "/debian/dists/stable")
	if err != nil {
		t.Fatal(err)
	}
	rel, err := b.Catalog.CheckRelease(dir, catalog.ReleaseFiles{InRelease: g.File("dists/stable/InRelease")})
	if err != nil {
		t.Fatal(err)
	}
	gen, err := b.Catalog.Adopt(rel)
	if err != nil || !gen.Signed {
		t.Fatalf("%+v, %v", gen, err)
	}
	resp, err := b.Mirror.Get(t.Context(), mirror.Request{URL: a.URL(hello.Path)})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	d := digest.Of(hello.Data)
	if err := b.Store.Put(d, int64(len(hello.Data)), resp.Body, store.Meta{}); err != nil {
		t.Fatal(err)
	}
	blob, err := b.Store.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if got, err := io.ReadAll(blob); err != nil || len(got) != len(hello.Data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
