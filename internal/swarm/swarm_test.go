package swarm

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/peer"
)

func TestTwentyBoxesFindEachOther(t *testing.T) {
	long(t)
	for _, c := range []struct {
		name string
		key  []byte
		n    int
	}{{"open", nil, 20}, {"with a key", NewKey(), 6}} {
		t.Run(c.name, func(t *testing.T) {
			n := c.n
			boxes := make([]*box, n)
			digests := make([]digest.Digest, n)
			for i := range boxes {
				boxes[i] = newBox(t, func(o *settings) {
					o.Key = c.key
					if i > 0 {
						o.Bootstrap = []string{boxes[0].dialled()}
					}
				})
				digests[i] = boxes[i].shelf.put(numbered(i))
				boxes[i].run(t)
			}
			for i, b := range boxes {
				until(t, fmt.Sprintf("box %d is connected with all", i), func() bool { return b.Status().Neighbours == n-1 })
			}
			for i := range boxes {
				asker, holder := boxes[(i+7)%n], boxes[i]
				until(t, fmt.Sprintf("box %d finds the blob of box %d", (i+7)%n, i), func() bool {
					return asker.findAll(t.Context(), digests[i])[holder.self()]
				})
			}
			if got := boxes[3].findAll(t.Context(), digest.Of([]byte("held by nobody"))); len(got) != 0 {
				t.Errorf("found %d providers of a blob that nobody holds", len(got))
			}
			if s := boxes[5].Status(); s.Private != (c.key != nil) || s.Mode != Server || s.Routing == 0 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestOtherSwarmsAreRefused(t *testing.T) {
	long(t)
	t.Parallel()
	keys := map[string][]byte{"a key": NewKey(), "another key": NewKey(), "no key": nil}
	for _, pair := range [][2]string{{"a key", "another key"}, {"a key", "no key"}, {"no key", "a key"}} {
		t.Run(pair[0]+" called with "+pair[1], func(t *testing.T) {
			t.Parallel()
			a := newBox(t, func(o *settings) { o.Key = keys[pair[0]] }).run(t)
			b := newBox(t, func(o *settings) {
				o.Key = keys[pair[1]]
				o.Bootstrap = []string{a.dialled()}
			}).run(t)
			for name, box := range map[string]*box{"called": a, "caller": b} {
				until(t, "the "+name+" says that it refuses the other", func() bool { return box.log.count("peer refused") > 0 })
			}
			// More of the caller's attempts, which come ever later.
			until(t, "the caller tries on", func() bool { return b.log.count("no reachable peers") > 0 })
			for name, box := range map[string]*box{"called": a, "caller": b} {
				if got := box.log.count("peer refused"); got != 1 {
					t.Errorf("the %s wrote %d lines, want 1", name, got)
				}
				if n := len(box.Peers()); n != 0 {
					t.Errorf("the %s has %d peers", name, n)
				}
			}
		})
	}
}

func TestAllowPeers(t *testing.T) {
	t.Parallel()
	friend, stranger := newBox(t, nil).run(t), newBox(t, nil)
	closed := newBox(t, func(o *settings) { o.AllowPeers = []string{friend.self().String()} }).run(t)
	stranger.bootstrap, _ = newBootstrap([]string{closed.dialled()}, stranger.Swarm.log)
	stranger.bootstrap.host, stranger.bootstrap.boxes, stranger.bootstrap.gate, stranger.bootstrap.dial = stranger.host, stranger.boxes, stranger.gate, stranger.dialGiven
	stranger.run(t)
	if err := friend.host.Connect(t.Context(), p2p.AddrInfo{ID: closed.self(), Addrs: closed.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	until(t, "the friend is let in", func() bool { return closed.Status().Neighbours == 1 })
	until(t, "the stranger is refused", func() bool { return closed.log.count("not in the list of allowed peers") > 0 })
	if got := closed.Peers(); len(got) != 1 || got[0].ID != friend.self().String() {
		t.Errorf("connected with %+v, want the friend alone", got)
	}
	if !closed.Status().Private || friend.Status().Private {
		t.Error("a swarm of listed boxes counts as open, or an open one as private")
	}
	if got := closed.log.count("peer refused"); got != 1 {
		t.Errorf("%d lines about the stranger, want 1", got)
	}
}

// A box with a list finds a listed one at an address without a peer ID.
func TestAllowPeersByAddress(t *testing.T) {
	t.Parallel()
	friend := newBox(t, nil).run(t)
	address, _, _ := strings.Cut(friend.dialled(), "/p2p/")
	closed := newBox(t, func(o *settings) {
		o.AllowPeers, o.Bootstrap = []string{friend.self().String()}, []string{address}
	}).run(t)
	until(t, "the friend is found", func() bool { return closed.Status().Neighbours == 1 })
}

func TestOptionsAtFault(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"key":          func(o *Options) { o.Key = []byte("secret") },
		"listen":       func(o *Options) { o.Listen = []string{"0.0.0.0:4001"} },
		"no listen":    func(o *Options) { o.Listen = nil },
		"only QUIC":    func(o *Options) { o.Key, o.Listen = NewKey(), []string{"/ip4/127.0.0.1/udp/0/quic-v1"} },
		"bootstrap":    func(o *Options) { o.Bootstrap = []string{"/ip4/nowhere"} },
		"announce":     func(o *Options) { o.Announce = []string{"box.example.org"} },
		"allowed peer": func(o *Options) { o.AllowPeers = []string{"me"} },
		"mode":         func(o *Options) { o.Mode = "both" },
		"identity":     func(o *Options) { o.IdentityFile = "/dev/null/identity" },
	} {
		t.Run(name, func(t *testing.T) {
			b := &lines{}
			o := Options{
				IdentityFile: t.TempDir() + "/identity", Listen: []string{"/ip4/127.0.0.1/tcp/0"},
				Datastore: dssync.MutexWrap(ds.NewMapDatastore()), Log: slog.New(slog.NewTextHandler(b, nil)),
			}
			change(&o)
			if s, err := New(o); err == nil {
				s.Close()
				t.Error("no error")
			} else {
				t.Log(err)
			}
		})
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	a := newBox(t, nil)
	defer a.Close()
	port, err := a.host.Addrs()[0].ValueForProtocol(6) // TCP
	if err != nil {
		t.Fatal(err)
	}
	o := a.options
	o.Listen = []string{"/ip4/127.0.0.1/tcp/" + port}
	if s, err := New(o); err == nil {
		s.Close()
		t.Error("no error for a port that is taken")
	}
}

// A DHT client of libp2p that knows nothing of millpond but its prefix.
func TestStockClientFinds(t *testing.T) {
	long(t)
	t.Parallel()
	a := newBox(t, nil)
	d := a.shelf.put([]byte("for everyone"))
	a.run(t)
	b := newBox(t, func(o *settings) { o.Bootstrap = []string{a.dialled()} }).run(t)
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	client, err := dht.New(h, dht.ProtocolPrefix("/millpond/open"), dht.Mode(dht.ModeClient))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := h.Connect(t.Context(), p2p.AddrInfo{ID: b.self(), Addrs: b.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	until(t, "the stock client finds the provider", func() bool {
		found, err := client.FindProviders(t.Context(), cid.NewCidV1(cid.Raw, multihashOf(d)))
		return err == nil && len(found) == 1 && found[0].ID == a.self() && len(found[0].Addrs) > 0
	})
	if n := b.Status().Neighbours; n != 1 {
		t.Errorf("%d neighbours: a peer that is no box counts", n)
	}
}

func TestRecordsSurviveRestart(t *testing.T) {
	long(t)
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	dir, identity := t.TempDir(), t.TempDir()+"/identity"
	open := func() (*kv.DB, func(*settings)) {
		db, err := kv.Open(dir, log)
		if err != nil {
			t.Fatal(err)
		}
		return db, func(o *settings) { o.Datastore, o.IdentityFile = db.Datastore("swarm"), identity }
	}
	db, options := open()
	keeper := newBox(t, options).run(t)
	holder := newBox(t, func(o *settings) { o.Bootstrap = []string{keeper.dialled()} })
	d := holder.shelf.put([]byte("kept"))
	id := holder.self()
	holder.run(t)
	providers := func(b *box) (ids []p2p.ID) {
		for info := range b.dht.FindProvidersAsync(t.Context(), cid.NewCidV1(cid.Raw, multihashOf(d)), 0) {
			ids = append(ids, info.ID)
		}
		return ids
	}
	until(t, "the record is announced", func() bool { a, n, _ := holder.announcer.progress(); return a == 1 && n == 1 })
	holder.stop()
	keeper.stop()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, options = open()
	defer db.Close()
	again := newBox(t, options)
	defer again.Close()
	if got := providers(again); len(got) != 1 || got[0] != id {
		t.Errorf("after the restart the providers are %v, want %v", got, id)
	}
	if err := again.records.count(t.Context()); err != nil || again.Status().Records != 1 {
		t.Errorf("%d records (%v), want 1", again.Status().Records, err)
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	boxes := []*box{newBox(t, nil).run(t)}
	for range 2 {
		boxes = append(boxes, newBox(t, func(o *settings) { o.Bootstrap = []string{boxes[0].dialled()} }).run(t))
	}
	for _, b := range boxes {
		for _, o := range boxes {
			until(t, "all know all", func() bool { return b == o || b.knows(o) })
		}
	}
	first := make(map[p2p.ID]int)
	for i := range 300 {
		d := digest.Of(numbered(i))
		order := make([][]peer.Peer, 3) // by the number of owners
		var highest p2p.ID
		for _, b := range boxes {
			owners := b.Owners(d)
			if order[len(owners)] != nil {
				t.Fatalf("two boxes have %d owners before them", len(owners))
			}
			order[len(owners)] = append(owners, b.peer(b.self()))
			if len(owners) == 0 {
				highest = b.self()
			}
		}
		first[highest]++
		for n, chain := range order {
			for j, p := range chain {
				if p.ID() != order[2][j].ID() {
					t.Fatalf("the box with %d owners before it has another order", n)
				}
			}
		}
	}
	for id, n := range first {
		if n < 60 {
			t.Errorf("box %s comes first for %d of 300 digests", id, n)
		}
	}
}

// guarded fails the test when it is used after it was closed.
type guarded struct {
	ds.Batching
	closed atomic.Bool
	late   atomic.Int64
	onPut  func(ds.Key)
}

func (g *guarded) touch() {
	if g.closed.Load() {
		g.late.Add(1)
	}
}

func (g *guarded) Put(ctx context.Context, k ds.Key, v []byte) error {
	g.touch()
	g.onPut(k)
	return g.Batching.Put(ctx, k, v)
}

func (g *guarded) Get(ctx context.Context, k ds.Key) ([]byte, error) {
	g.touch()
	return g.Batching.Get(ctx, k)
}

func (g *guarded) Batch(ctx context.Context) (ds.Batch, error) {
	g.touch()
	return g.Batching.Batch(ctx)
}

func TestCloseOrder(t *testing.T) {
	long(t)
	t.Parallel()
	g := &guarded{Batching: dssync.MutexWrap(ds.NewMapDatastore())}
	a := newBox(t, func(o *settings) { o.Datastore = g })
	var once sync.Once
	persisted := make(chan bool, 1)
	g.onPut = func(k ds.Key) {
		if k.String() == "/announce/state/avg_prefix_len" { // the announcer's last word
			once.Do(func() { persisted <- len(a.host.Network().Peers()) == 1 })
		}
	}
	a.shelf.put([]byte("a blob"))
	b := newBox(t, func(o *settings) { o.Bootstrap = []string{a.dialled()} })
	b.run(t)
	ran := make(chan error, 1)
	go func() { ran <- a.serve(context.Background()) }()
	until(t, "the announcement", func() bool { n, _, _ := a.announcer.progress(); return n == 1 })
	if err := a.Close(); err != nil { // ends Run by itself
		t.Error(err)
	}
	select {
	case err := <-ran:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Error("Close returned while Run went on")
	}
	select {
	case up := <-persisted:
		if !up {
			t.Error("the host was closed before the announcer")
		}
	default:
		t.Error("the announcer did not keep its state")
	}
	g.closed.Store(true)
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	until(t, "the other box sees it go", func() bool { return b.Status().Neighbours == 0 })
	if n := g.late.Load(); n != 0 {
		t.Errorf("%d uses of the datastore after Close", n)
	}
}
