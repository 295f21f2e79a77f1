package siteledger

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/api"
	"millpond/internal/boxtest"
	"millpond/internal/kv"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is where boxes reach each other, without a network.
type place struct {
	kind  peer.Kind // of all boxes, to each other
	boxes map[string]*testBox
	// lies are the answers of boxes that do not run.
	lies map[string]func(question []byte) []byte
}

func newPlace(kind peer.Kind) *place {
	return &place{kind: kind, boxes: make(map[string]*testBox), lies: make(map[string]func([]byte) []byte)}
}

// testBox is a Site over a real ledger and database.
type testBox struct {
	*Site
	ledger *ledger.Ledger
	table  *kv.Table
	place  *place
	faults []api.Fault
	suites []Suite

	blaming sync.Mutex // guards blamed
	blamed  []string   // boxes whose reports were wrong
}

var _ Swarm = (*testBox)(nil)

func (b *testBox) Reporters() (all []peer.Neighbour) {
	add := func(id string) {
		if id != b.ID {
			network, _ := netip.MustParseAddr("10.0.0.1").Prefix(24)
			all = append(all, peer.Neighbour{Asker: peer.Asker{ID: id, Kind: b.place.kind}, Party: network})
		}
	}
	for id := range b.place.boxes {
		add(id)
	}
	for id := range b.place.lies {
		add(id)
	}
	return all
}

func (b *testBox) AskReport(ctx context.Context, box string, question []byte) ([]byte, error) {
	if lie := b.place.lies[box]; lie != nil {
		return lie(question), nil
	}
	if other := b.place.boxes[box]; other != nil {
		return other.Report(ctx, peer.Asker{ID: b.ID, Kind: b.place.kind}, question)
	}
	return nil, errors.New("no such box")
}

func (b *testBox) Misreported(box string, _ error) {
	b.blaming.Lock()
	defer b.blaming.Unlock()
	b.blamed = append(b.blamed, box)
}

// add makes a box; change may be nil.
func (p *place) add(t testing.TB, id string, change func(*Options)) *testBox {
	t.Helper()
	parts := boxtest.New(t, boxtest.Options{})
	b := &testBox{ledger: parts.Ledger, table: parts.DB.Table("site"), place: p}
	b.open(t, id, change)
	p.boxes[id] = b
	return b
}

// open opens the Site, for the second time as after a restart.
func (b *testBox) open(t testing.TB, id string, change func(*Options)) {
	t.Helper()
	o := Options{
		Table: b.table, Ledger: b.ledger, Swarm: b, ID: id, Secret: []byte("secret"), Version: "1.0",
		Holdings: func() Holdings { return Holdings{Blobs: 3, BlobBytes: 300} },
		ServedAt: func() netip.AddrPort { return netip.MustParseAddrPort("0.0.0.0:3142") },
		InUse:    func() []Suite { return b.suites }, Faults: func() []api.Fault { return b.faults },
		Privacy: Privacy{LocalsMayLook: true}, Log: testLog(t),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if b.Site, err = Open(o); err != nil {
		t.Fatal(err)
	}
}

// exchange has all boxes look at themselves and ask all others.
func (p *place) exchange(t testing.TB) {
	t.Helper()
	for _, b := range p.boxes {
		b.survey(time.Now())
	}
	for _, b := range p.boxes {
		b.asksAll(t)
	}
}

// asksAll asks all connected boxes, however often that was done.
func (b *testBox) asksAll(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	clear(b.tried)
	for _, r := range b.boxes {
		r.seriesAsked = time.Time{}
	}
	b.mu.Unlock()
	b.ask(t.Context())
}

// get counts what a client gets of a package.
func (b *testBox) get(client, pkg string, from ledger.Origin, n int64) {
	addr, f := netip.MustParseAddr(client), ledger.File{Host: "archive.example.org", Package: pkg}
	b.ledger.Request(addr, f)
	b.ledger.Delivered(addr, f, from, n)
	if from == ledger.FromMirror {
		b.ledger.Taken(f, n)
	}
}

// leave disconnects a box.
func (p *place) leave(id string) *testBox {
	b := p.boxes[id]
	delete(p.boxes, id)
	return b
}
