package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/peer"
	"millpond/internal/swarm"
)

// hider is a box that says of every suite that its mirror has what the asking box has, and
// holds no file.
type hider struct {
	asked   atomic.Int64
	serving chan struct{} // closed when a box has begun to read its inventory
	once    sync.Once
}

func (h *hider) Release(context.Context, peer.Asker, peer.ReleaseQuery, func()) (peer.ReleaseOffer, error) {
	h.asked.Add(1)
	return peer.ReleaseOffer{}, nil
}

func (h *hider) Watch(context.Context, peer.Kind) iter.Seq[peer.Event] {
	h.once.Do(func() { close(h.serving) })
	return func(func(peer.Event) bool) {}
}

func (*hider) Open(context.Context, peer.Asker, digest.Digest, peer.Request) (peer.Upload, error) {
	return nil, fs.ErrNotExist
}

func (*hider) Manifest(context.Context, peer.Asker, digest.Digest) ([]digest.Digest, error) {
	return nil, fs.ErrNotExist
}

func (*hider) Pieces(peer.Asker, digest.Digest) (int64, peer.Bitfield, error) {
	return 0, nil, fs.ErrNotExist
}

// startHider runs the hider in the swarm of a box until the end of the test.
func startHider(t *testing.T, b *box) *hider {
	t.Helper()
	var id api.Identity
	_, body := newClient(t, "").get(t, http.MethodGet, b.url+api.IdentityPath)
	if err := json.Unmarshal(body, &id); err != nil {
		t.Fatal(err)
	}
	db, err := kv.Open(t.TempDir(), newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := swarm.New(swarm.Options{
		IdentityFile: filepath.Join(t.TempDir(), "identity"), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: id.Addrs, Mode: swarm.Server,
		AllowClients: func(netip.Addr) bool { return true }, Datastore: db.Datastore("swarm"),
		Version: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &hider{serving: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx, swarm.Serving{Inventory: h, Releases: h}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := errors.Join(s.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// later lets time pass for what the box remembers of suites.
func (b *box) later(t *testing.T, d time.Duration) {
	t.Helper()
	table := b.db.Table("names")
	var keys []string
	if err := table.Scan([]byte("suite/"), nil, func(k, _ []byte) bool {
		keys = append(keys, string(k))
		return true
	}); err != nil || len(keys) == 0 {
		t.Fatalf("%d suites, %v", len(keys), err)
	}
	for _, key := range keys {
		forms, err := kv.GetJSON[map[string]map[string]any](table, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range forms {
			for _, check := range []any{form, form["Asked"], form["Answered"]} {
				c, ok := check.(map[string]any)
				if !ok || c["Clock"] == nil {
					continue
				}
				at, err := time.Parse(time.RFC3339Nano, c["Checked"].(string))
				if err != nil {
					t.Fatal(err)
				}
				c["Checked"] = at.Add(-d)
				clock := c["Clock"].(map[string]any)
				clock["Passed"] = int64(clock["Passed"].(float64)) - d.Nanoseconds()
			}
		}
		if err := kv.PutJSON(table, key, forms); err != nil {
			t.Fatal(err)
		}
	}
}

// A box of the site that owns a suite, and says again and again that nothing has changed,
// hides an update for an hour at most: this box asks the mirror itself then. All of it is
// real but the time.
func TestUpdateIsHiddenForAnHour(t *testing.T) {
	t.Parallel()
	const minutes = 10 // between requests of clients
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	b := start(t, s.environ(t.TempDir(), "MILLPOND_INDEX_TTL=1m", "MILLPOND_SHARE_HOSTS=127.0.0.0/8"))
	h := startHider(t, b)

	// A box is an owner as soon as it is connected, which may be before it serves.
	select {
	case <-h.serving:
	case <-time.After(30 * time.Second):
		t.Fatal("the box has not read the other's inventory")
	}
	// Of some of the names that the archive has the other box is the owner.
	base := ""
	dir := func(base string) digest.Digest { return digest.Of([]byte(s.Mirror.URL(base + "/dists/stable"))) }
	for end := time.Now().Add(30 * time.Second); base == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the other box is the owner of no suite")
		}
		for i := range 32 {
			if name := fmt.Sprintf("/debian%d", i); len(b.swarm.Owners(dir(name))) > 0 {
				base = name
				break
			}
		}
	}
	release := s.Mirror.URL(base + "/dists/stable/InRelease")
	c := newClient(t, b.url)
	read := func() []byte {
		t.Helper()
		resp, body := c.get(t, http.MethodGet, release)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", release, resp.Status)
		}
		return body
	}
	publish := func() []byte {
		g := s.Publish(time.Now().Add(-time.Hour))
		s.Mirror.Publish(base, g)
		return g.File("dists/stable/InRelease")
	}
	old := publish()
	if !bytes.Equal(read(), old) {
		t.Fatal("the box does not have the first Release")
	}
	update := publish()
	s.Mirror.ResetLog()
	for n := int64(1); n < 60/minutes; n++ {
		b.later(t, minutes*time.Minute)
		if got := read(); !bytes.Equal(got, old) || h.asked.Load() != n {
			t.Fatalf("after %d minutes the other box was asked %d times, and the update is hidden: %v; the test shows nothing", n*minutes, h.asked.Load(), bytes.Equal(got, old))
		}
	}
	if n := s.Mirror.Requests("*InRelease"); n != 0 {
		t.Fatalf("the mirror was asked %d times; the test shows nothing", n)
	}
	b.later(t, minutes*time.Minute)
	if !bytes.Equal(read(), update) {
		t.Error("after an hour the update is hidden still")
	}
	if n := s.Mirror.Requests("*InRelease"); n != 1 {
		t.Errorf("the mirror was asked %d times, want once", n)
	}
}
