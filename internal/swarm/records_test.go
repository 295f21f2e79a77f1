package swarm

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	dhtrecords "github.com/libp2p/go-libp2p-kad-dht/records"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/kv"
)

// badger opens a database in dir: look-ups in a map read all of it.
func badger(t *testing.T, dir string) ds.Batching {
	t.Helper()
	db, err := kv.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db.Datastore("swarm")
}

// recordsFor makes a store in dir and libp2p's own record manager on it. Peers are in
// networks, else nowhere.
func recordsFor(t *testing.T, dir string, most int64, networks map[p2p.ID]netip.Prefix) (*records, *dhtrecords.ProviderManager) {
	t.Helper()
	r := newRecords(badger(t, dir), most, false, testID(201), func(id p2p.ID) netip.Prefix { return networks[id] })
	r.rest = 200 * time.Millisecond
	b := newBox(t, nil) // for its peerstore
	t.Cleanup(func() { b.Close() })
	m, err := dhtrecords.NewProviderManager(testID(201), b.host.Peerstore(), r, dhtrecords.ProvideValidity(recordValidity))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return r, m
}

func announceTo(t *testing.T, m *dhtrecords.ProviderManager, id p2p.ID, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := m.AddProvider(t.Context(), multihashOf(nth(int(id[2]), i)), p2p.AddrInfo{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
}

// found is how many of the records of id are there.
func found(t *testing.T, m *dhtrecords.ProviderManager, id p2p.ID, from, to int) (n int) {
	t.Helper()
	for i := from; i < to; i++ {
		infos, err := m.GetProviders(t.Context(), multihashOf(nth(int(id[2]), i)))
		if err != nil {
			t.Fatal(err)
		}
		if len(infos) == 1 && infos[0].ID == id {
			n++
		}
	}
	return n
}

// anyStored reports whether the store has one of the records of id: libp2p finds those
// of 256 keys in its cache, and keeps there what is looked up.
func anyStored(t *testing.T, r *records, id p2p.ID, from, to int) bool {
	t.Helper()
	for i := from; i < to; i++ {
		has, err := r.Has(t.Context(), recordKey(nth(int(id[2]), i), id))
		if err != nil {
			t.Fatal(err)
		}
		if has {
			return true
		}
	}
	return false
}

// testID is a peer ID: an identity multihash.
func testID(n byte) p2p.ID { return p2p.ID(append([]byte{0, 4, n}, "box"...)) }

// TestMillionRecords has one peer announce a million blobs, in Badger.
func TestMillionRecords(t *testing.T) {
	long(t)
	t.Parallel()
	const all = 1_000_000
	bounds := boundsOf(128<<20, 0)
	dir := t.TempDir()
	greedy, other := testID(1), testID(2)
	r, m := recordsFor(t, dir, bounds.records, map[p2p.ID]netip.Prefix{
		greedy: netip.MustParsePrefix("10.0.0.1/32"), other: netip.MustParsePrefix("10.0.0.2/32"),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.run(ctx) }()
	announceTo(t, m, other, 0, 1000)
	announceTo(t, m, greedy, 0, all)
	until(t, "room for the newest records", func() bool {
		announceTo(t, m, greedy, all, all+1000)
		return found(t, m, greedy, all, all+1000) == 1000
	})
	if got := found(t, m, other, 0, 1000); got != 1000 {
		t.Errorf("%d of the other peer's 1000 records are left", got)
	}
	cancel()
	if err := <-ran; err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	next := all + 1000
	for trims := 0; anyStored(t, r, greedy, 0, 10_000); trims++ { // each drops an eighth
		if trims == 40 {
			t.Fatal("some of the greedy peer's oldest records are left")
		}
		announceTo(t, m, greedy, next, next+20_000) // with a full share, records are dropped only for new ones
		next += 20_000
		if err := r.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.count(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.n.Load(); n > bounds.records || n < bounds.records/4 {
		t.Errorf("%d records are kept, at most %d are allowed", n, bounds.records)
	}
	m.Close()
	bytes := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if info, _ := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return err
	})
	t.Logf("%d of %d records are kept, with %.1f MB in the database's files (%v)", r.n.Load(), next, float64(bytes)/1e6, err)
}

// TestRecordsAreShared has many peers announce all that they can, some of them at one
// address: what they do not get, one of another address does.
func TestRecordsAreShared(t *testing.T) {
	t.Parallel()
	const most = 4000
	crowded, lonely := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")
	lone, self := testID(200), testID(201)
	networks := map[p2p.ID]netip.Prefix{lone: lonely}
	var crowd []p2p.ID
	for i := range 100 {
		id := testID(byte(i))
		networks[id] = crowded
		crowd = append(crowd, id)
	}
	r, m := recordsFor(t, t.TempDir(), most, networks)
	trim := func() {
		t.Helper()
		announceTo(t, m, self, 0, 256) // libp2p writes so many together
		if err := r.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		for _, id := range crowd {
			announceTo(t, m, id, round*200, round*200+200)
		}
		trim()
	}
	if got := r.networks.Held(crowded); got > most*3/4 {
		t.Errorf("one network has %d of %d records, at most three quarters are allowed", got, most)
	}
	announceTo(t, m, lone, 0, 400)
	announceTo(t, m, self, 1000, 1256)
	if got := found(t, m, lone, 0, 400); got != 400 {
		t.Errorf("%d of the 400 records of a peer of another network are there", got)
	}
	least, greatest := int64(most), int64(0)
	for _, id := range crowd {
		n := int64(0)
		if o := r.owners[id]; o != nil {
			n = o.records
		}
		least, greatest = min(least, n), max(greatest, n)
	}
	if greatest > most/8 {
		t.Errorf("of the crowd, one peer has %d records of %d; the least has %d", greatest, most, least)
	}
	// What is deleted gives its slots back.
	if err := r.count(t.Context()); err != nil {
		t.Fatal(err)
	}
	held := r.peers.Free()
	var keys []ds.Key
	for i := range 400 {
		keys = append(keys, recordKey(nth(200, i), lone))
	}
	if err := r.drop(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	if got := r.peers.Free() - held; got != 400+ownerSlots {
		t.Errorf("%d slots came back with 400 records", got)
	}
	// Another process counts what this one left.
	again := newRecords(r.Batching, most, false, self, r.network)
	if err := again.count(t.Context()); err != nil || again.peers.Free() != r.peers.Free() {
		t.Errorf("after a restart %d slots are free, want %d; %v", again.peers.Free(), r.peers.Free(), err)
	}
}

// TestRoomForNewRecords: the count finds a little room in a share that was full, as it
// does when records were sent again. New ones still find enough after one trim.
func TestRoomForNewRecords(t *testing.T) {
	t.Parallel()
	const most, few, little = 16_000, 300, 100
	id := testID(1)
	r, m := recordsFor(t, t.TempDir(), most, map[p2p.ID]netip.Prefix{id: netip.MustParsePrefix("10.0.0.1/32")})
	announceTo(t, m, id, 0, most)
	var keys []ds.Key
	for i := range little {
		keys = append(keys, recordKey(nth(1, i), id))
	}
	if err := r.drop(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	if got := r.peers.Room(id); got != little {
		t.Fatalf("there is room for %d records, want %d", got, little)
	}
	if err := r.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	announceTo(t, m, id, most, most+few)
	if got := found(t, m, id, most, most+few); got != few {
		t.Errorf("%d of the %d newest records are found", got, few)
	}
}

func recordKey(d digest.Digest, id p2p.ID) ds.Key {
	return ds.NewKey(dhtrecords.ProvidersKeyPrefix + recordNames.EncodeToString(multihashOf(d)) + "/" + recordNames.EncodeToString([]byte(id)))
}

// TestRecordsOfOtherKeys: only the SHA-256 of a blob can be looked up.
func TestRecordsOfOtherKeys(t *testing.T) {
	t.Parallel()
	r, m := recordsFor(t, t.TempDir(), 1000, nil)
	for i := range 600 {
		if err := m.AddProvider(t.Context(), fmt.Append(nil, "no multihash ", i), p2p.AddrInfo{ID: testID(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.count(t.Context()); err != nil || r.n.Load() != 0 {
		t.Errorf("%d records, want none; %v", r.n.Load(), err)
	}
}

// TestRecordFlood sends 100,000 records over a connection, beside those of another box.
func TestRecordFlood(t *testing.T) {
	long(t)
	t.Parallel()
	keeper := newBox(t, func(o *settings) { o.Memory, o.Datastore = 64<<20, badger(t, t.TempDir()) }).run(t)
	honest := newBox(t, func(o *settings) { o.Bootstrap = []string{keeper.dialled()} })
	for i := range 1000 {
		honest.shelf.put(numbered(i))
	}
	honest.run(t)
	bounds := boundsOf(64<<20, 0)
	until(t, "the honest box's records", func() bool {
		return keeper.records.peers.Held(honest.self()) >= 1000-1000%256
	})
	flooder := newBox(t, nil).run(t)
	if err := flooder.host.Connect(t.Context(), p2p.AddrInfo{ID: keeper.self(), Addrs: keeper.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if err := provide(t.Context(), flooder, keeper.self(), 100_000); err != nil {
		t.Fatal(err)
	}
	until(t, "the flooder's share to be full", func() bool { return keeper.records.peers.Held(flooder.self()) > bounds.records/4 })
	held := int64(0)
	keeper.records.mu.Lock()
	for _, o := range keeper.records.owners {
		held += o.records
	}
	keeper.records.mu.Unlock()
	if held > bounds.records {
		t.Errorf("%d records are held, at most %d are allowed", held, bounds.records)
	}
	missing := 0
	for i := range 1000 {
		if !keeper.findAll(t.Context(), digest.Of(numbered(i)))[honest.self()] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of the honest box's 1000 records are not found", missing)
	}
	t.Logf("of 100,000 records %d are kept", keeper.records.peers.Held(flooder.self()))
}

// provide sends keeper n records of made-up blobs.
func provide(ctx context.Context, from *box, keeper p2p.ID, n int) error {
	for i := range n {
		m := pb.NewMessage(pb.Message_ADD_PROVIDER, multihashOf(digest.Of([]byte("made up "+strconv.Itoa(i)))), 0)
		m.ProviderPeers = pb.RawPeerInfosToPBPeers([]p2p.AddrInfo{{ID: from.self(), Addrs: from.host.Addrs()}})
		if err := from.dht.MessageSender().SendMessage(ctx, keeper, m); err != nil {
			return err
		}
	}
	return nil
}
