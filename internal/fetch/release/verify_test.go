package release

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// held is a Cache that holds a suite and has no mirror.
type held struct {
	*Cache
	t    *testing.T
	box  *boxtest.Box
	dir  catalog.Location
	keys string // the directory of the keyring
}

// holding signs the Release of a suite at a time and puts it where Get leaves it.
func holding(t *testing.T, detached, private bool, at time.Time, key *aptest.Key) *held {
	t.Helper()
	dir, err := catalog.ParseLocation("http", "archive.example.org", "/debian/dists/stable")
	must(t, err)
	h := &held{t: t, box: boxtest.New(t, boxtest.Options{}), dir: dir, keys: t.TempDir()}
	keys, bad, err := keyring.Load(h.keys)
	must(t, err)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	c, err := catalog.Open(catalog.Options{Table: h.box.DB.Table("catalog of the test"), Keyring: keys, Log: h.box.Log})
	must(t, err)
	names := h.box.DB.Table("names")
	h.Cache = New(t.Context(), Options{Store: h.box.Store, Catalog: c, Names: names, Log: h.box.Log})
	h.early = 10 * time.Millisecond

	text := []byte("Suite: stable\nDate: Fri, 02 Jan 2026 03:04:05 UTC\nSHA256:\n " + digest.Of(nil).String() + " 0 main/binary-amd64/Packages\n")
	var s suite
	files := catalog.ReleaseFiles{Private: private}
	if detached {
		files.Release, files.Signature = text, aptest.Sign(text, at, key)
		s.Release, s.Signature = h.put(files.Release), h.put(files.Signature)
	} else {
		files.InRelease = aptest.Clearsign(text, at, key)
		s.InRelease = h.put(files.InRelease)
	}
	must(t, kv.PutJSON(names, h.key(private), s))
	checked, err := c.CheckRelease(dir, files)
	must(t, err)
	_, err = c.Adopt(checked)
	must(t, err)
	h.run(keys)
	return h
}

func (h *held) key(private bool) string { return key(h.dir, private) }

func (h *held) put(b []byte) record {
	h.t.Helper()
	d := digest.Of(b)
	must(h.t, h.box.Store.Put(d, int64(len(b)), bytes.NewReader(b), store.Meta{}))
	return record{Copy: mirror.Copy{Digest: d, Size: int64(len(b))}}
}

// run runs what runs in a box, until the test ends.
func (h *held) run(keys *keyring.Keyring) {
	ctx, cancel := context.WithCancel(h.t.Context())
	watched, ran := make(chan error, 1), make(chan struct{})
	go func() { watched <- keys.Watch(ctx, h.box.Log, h.KeysChanged) }()
	go func() { h.Run(ctx); close(ran) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-watched; err != nil {
			h.t.Error(err)
		}
		<-ran
	})
}

func (h *held) install(name string, key *aptest.Key) {
	h.t.Helper()
	must(h.t, os.WriteFile(filepath.Join(h.keys, name), key.Public(), 0o600))
}

// becomes waits until what the suite is changes, and compares.
func (h *held) becomes(signed bool, why string) {
	h.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		revision := h.catalog.Revision()
		g, ok := h.catalog.Generation(h.dir, digest.Digest{})
		if !ok {
			h.t.Fatal("the suite is not known")
		}
		if g.Signed == signed && strings.Contains(g.Why, why) {
			return
		}
		for h.catalog.Revision() == revision {
			select {
			case <-deadline:
				h.t.Fatalf("signed %v: %s; want %v: %s", g.Signed, g.Why, signed, why)
			case <-time.After(time.Millisecond): // the catalog tells nobody that a suite became unsigned
			}
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A held suite follows the keys while the box runs, and no client asks.
func TestKeysComeAndGo(t *testing.T) {
	t.Parallel()
	key, other := aptest.NewKey("archive"), aptest.NewKey("other archive")
	for name, form := range map[string]struct{ detached, private bool }{
		"InRelease": {false, false}, "Release": {true, false}, "with a login": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := holding(t, form.detached, form.private, time.Now().Add(-time.Hour), key)
			h.becomes(false, "no key in the keyring made this signature")
			if s := h.catalog.Suites()[0]; len(s.MissingKeys) != 1 || s.MissingKeys[0] != key.Fingerprint() {
				t.Errorf("missing: %v, want %s", s.MissingKeys, key.Fingerprint())
			}
			h.install("archive.gpg", key)
			h.becomes(true, "")
			if s := h.catalog.Suites()[0]; len(s.MissingKeys) != 0 || s.Signer != key.Fingerprint() || s.Current.Private != form.private {
				t.Errorf("signed: %+v", s)
			}
			h.install("archive.gpg", other)
			h.becomes(false, "no key in the keyring made this signature")
			h.install("copy.gpg", key)
			h.becomes(true, "")
			must(t, os.Remove(filepath.Join(h.keys, "copy.gpg")))
			h.becomes(false, "no key in the keyring made this signature")
		})
	}
}

// A suite is unsigned without its key also where its Release is not held any
// more.
func TestKeyOfAnEvictedReleaseGoes(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	h := holding(t, false, false, time.Now().Add(-time.Hour), key)
	h.install("archive.gpg", key)
	h.becomes(true, "")
	g, _ := h.catalog.Generation(h.dir, digest.Digest{})
	must(t, h.box.Store.Remove(g.ID))
	must(t, os.Remove(filepath.Join(h.keys, "archive.gpg")))
	h.becomes(false, "is not in the keyring any more")
}

// A Release that is signed ahead of the box's clock counts once its time has
// come.
func TestEarlySignatureBecomesDue(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	due := time.Now().Add(5 * time.Second).Truncate(time.Second)
	h := holding(t, false, false, due, key)
	h.install("archive.gpg", key)
	h.becomes(false, "signed in the future")
	h.becomes(true, "")
	if time.Now().Before(due) {
		t.Error("signed before its time")
	}
}

func TestClockSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		byClock, passed time.Duration
		want            bool
	}{
		{time.Minute, time.Minute, false}, {time.Minute + time.Second/2, time.Minute, false},
		{24 * time.Hour, time.Minute, true}, {-24 * time.Hour, time.Minute, true}, {time.Hour, time.Second, true},
	} {
		if got := clockSet(tt.byClock, tt.passed); got != tt.want {
			t.Errorf("%v by the clock in %v: %v", tt.byClock, tt.passed, got)
		}
	}
}
