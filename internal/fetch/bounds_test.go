package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// attacker is a host of somebody who means harm, that answers every request with serve.
type attacker struct {
	*rig
	addr string
}

func (r *rig) attacker(serve http.HandlerFunc) *attacker {
	r.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(r.t.Context(), "tcp", "0.0.0.0:0")
	must(r.t, err)
	s := httptest.NewUnstartedServer(serve)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	r.t.Cleanup(s.Close)
	h := &attacker{rig: r, addr: l.Addr().String()}
	h.addr = h.at("127.0.0.2")
	return h
}

// at is another address of this machine, with the attacker's port.
func (h *attacker) at(ip string) string {
	_, port, _ := net.SplitHostPort(h.addr)
	return net.JoinHostPort(ip, port)
}

// holds reports whether the box has a copy of the unknown file at path.
func (h *attacker) holds(path string) bool {
	l, err := catalog.ParseLocation("http", h.addr, path)
	must(h.t, err)
	return h.holdsUnknown(Request{Entry: catalog.Entry{Location: l}})
}

// ask reads what the box has for a path there, at most n bytes.
func (h *attacker) ask(path string, n int64) error {
	h.t.Helper()
	l, err := catalog.ParseLocation("http", h.addr, path)
	must(h.t, err)
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	f, err := h.Get(ctx, Request{Entry: h.catalog.Resolve(ctx, l, nil)})
	if err != nil {
		return err
	}
	defer f.Body.Close()
	_, err = io.CopyN(io.Discard, f.Body, n)
	return err
}

// records counts what the table of names has.
func (r *rig) records() (n int) {
	r.t.Helper()
	must(r.t, r.names.Scan(nil, nil, func(_, _ []byte) bool { n++; return true }))
	return n
}

// However many suites that do not exist are asked for, nothing is left of it.
func TestAbsentSuitesLeaveNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	before := r.records()
	h := r.attacker(http.NotFound)
	for i := range 2000 {
		var status *mirror.StatusError
		if err := h.ask(fmt.Sprintf("/%d/dists/s/InRelease", i), 1); !errors.As(err, &status) || status.Code != 404 {
			t.Fatal(err)
		}
	}
	if n := r.records(); n != before {
		t.Errorf("%d records are left of suites that do not exist", n-before)
	}
}

// Release files take an eighth of the cache at most, and those of the site's suites
// stay.
func TestReleaseFilesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.quota = 64 << 20
	r.open()
	r.update()
	head, _, err := r.read(inRelease)
	must(t, err)
	before := r.records()
	pad := "# " + strings.Repeat("x", 1<<20)
	h := r.attacker(func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprintf(w, "Suite: s\nOrigin: %s\nDate: %s\nSHA256:\n %s 0 main/binary-amd64/Packages\nDescription: %s\n",
			q.URL.Path, time.Now().UTC().Format(time.RFC1123), digest.Of(nil), pad)
	})
	for i := range 40 {
		must(t, h.ask(fmt.Sprintf("/%d/dists/s/Release", i), 1<<20))
	}
	var pinned int64
	for i, err := range r.store.All() {
		must(t, err)
		if i.Pinned {
			pinned += i.Size
		}
	}
	if pinned > r.quota/8 {
		t.Errorf("%d bytes are pinned in a cache of %d", pinned, r.quota)
	}
	if n := r.records() - before; n > 8 {
		t.Errorf("%d records are left of 40 suites", n)
	}
	r.mirror.Down()
	r.releases.Expire(r.dir())
	if again, _, err := r.read(inRelease); err != nil || !bytes.Equal(again, head) {
		t.Errorf("without the mirror: %d bytes of the site's own suite, %v", len(again), err)
	}
}

// site is a box of 32 MiB that has nearly filled its cache with signed packages.
func site(t *testing.T) (r *rig, packages []string) {
	t.Helper()
	sizes := make(map[string]int)
	for i := range 14 {
		sizes[fmt.Sprintf("package%d", i)] = 2 << 20
	}
	r = newRigWith(t, aptest.Suite{}, sizes)
	r.quota = 32 << 20
	r.open()
	r.update()
	for name := range sizes {
		r.want(r.packageAt(name), r.files[name].Data)
		packages = append(packages, name)
	}
	return r, packages
}

// wantAll fails unless all of the packages are held.
func (r *rig) wantAll(packages []string) {
	r.t.Helper()
	for _, name := range packages {
		if !r.held(digest.Of(r.files[name].Data)) {
			r.t.Errorf("%s, which is signed, has been evicted", name)
		}
	}
}

// A file without end that no index lists evicts nothing, and is served all the same.
func TestEndlessFileEvictsNothing(t *testing.T) {
	t.Parallel()
	r, packages := site(t)
	h := r.attacker(func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	must(t, h.ask("/pool/endless_1_all.deb", 3*r.quota))
	r.wantAll(packages)
	if u := r.store.Usage(); u.Bytes+u.Partial > u.QuotaBytes {
		t.Errorf("%+v is more than the quota", u)
	}
}

// Files that no index lists have a share of the cache, of which each party has the
// same under contention; what a key vouches for goes before them.
func TestUnknownContentHasAShare(t *testing.T) {
	t.Parallel()
	r, packages := site(t)
	serve := func(size int) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(bytes.Repeat([]byte(q.Host+q.URL.Path), size)[:size])
		}
	}
	own := r.attacker(serve(64 << 10))
	own.addr = own.at("127.0.0.3")
	var mine []string
	for i := range 8 {
		path := fmt.Sprintf("/pool/own%d_1_all.deb", i)
		must(t, own.ask(path, 64<<10))
		mine = append(mine, path)
	}
	evil := r.attacker(serve(1 << 20))
	for i := range 60 {
		must(t, evil.ask(fmt.Sprintf("/pool/evil%d_1_all.deb", i), 1<<20))
	}
	r.wantAll(packages)
	for _, path := range mine {
		if !own.holds(path) {
			t.Errorf("%s of the site's own archive has been evicted", path)
		}
	}
	tiny := r.attacker(serve(1))
	for i := range 600 {
		must(t, tiny.ask(fmt.Sprintf("/pool/tiny%d_1_all.deb", i), 1))
	}
	if n := r.store.Usage().Blobs; n > 300 {
		t.Errorf("%d blobs are held, most of one byte", n)
	}
	r.wantAll(packages)
}

// Records of unknown files follow what is held of them, however fast they come.
func TestRecordsOfUnknownFilesFollowTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.quota = 2 << 20
	r.open()
	r.recorded.after = 50
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.sweepRecords(ctx) })
	defer running.Wait()
	defer cancel()
	h := r.attacker(func(w http.ResponseWriter, q *http.Request) { _, _ = io.WriteString(w, q.URL.Path) })
	for i := range 600 {
		must(t, h.ask(fmt.Sprintf("/pool/tiny%d_1_all.deb", i), 1))
	}
	held := int(r.store.Usage().Blobs)
	for asked := time.Now(); r.records() > held+int(r.recorded.after); time.Sleep(10 * time.Millisecond) {
		if time.Since(asked) > 20*time.Second {
			t.Fatalf("%d records are left of %d files that are held", r.records(), held)
		}
	}
	if held > int(r.quota/(16<<10)) {
		t.Errorf("%d files are held in %d bytes", held, r.quota)
	}
}

// What a new Release does not list any more is evicted before the rest, and what nobody
// vouched for leaves its share once it is listed.
func TestStoreKnowsWhatIsListed(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	r.update()
	for _, name := range []string{"small", "large"} {
		r.want(r.packageAt(name), r.files[name].Data)
	}
	info := func(data []byte) store.Info {
		t.Helper()
		i, err := r.store.Stat(digest.Of(data))
		must(t, err)
		return i
	}
	must(t, r.judge(t.Context()))
	if i := info(r.files["small"].Data); i.Unlisted || i.Party != "" {
		t.Errorf("what is listed is %+v", i)
	}
	data := r.archive.Add(aptest.Package{Name: "early", Version: "1.0", Size: small})
	r.mirror.Put("/debian/"+data.Path, data.Data, time.Now())
	r.want(data.Path, data.Data)
	if i := info(data.Data); i.Party == "" {
		t.Errorf("what is not listed yet is %+v", i)
	}
	r.archive.Remove("small")
	for i := range 3 { // the catalog keeps two earlier ones
		g := r.archive.Publish(time.Now().Add(time.Duration(i-10) * time.Second))
		r.mirror.Publish("/debian", g)
		for seen, tries := []byte(nil), 0; !bytes.Equal(seen, g.File("dists/stable/InRelease")); tries++ {
			// A request may join a check that began before.
			if tries == 100 {
				t.Fatal("a new Release is not noticed")
			}
			var err error
			seen, _, err = r.read("dists/stable/InRelease")
			must(t, err)
		}
		r.update()
	}
	must(t, r.judge(t.Context()))
	if i := info(r.files["small"].Data); !i.Unlisted {
		t.Errorf("what is not listed any more is %+v", i)
	}
	if i := info(data.Data); i.Party != "" || i.Unlisted {
		t.Errorf("what is listed by now is %+v", i)
	}
}
