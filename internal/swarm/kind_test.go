package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// acquaintance is a box and another one that is of some kind to it, and a witness:
// a third box, which is not less than local.
type acquaintance struct {
	box, other, witness *box
	asked               chan peer.Asker // the requests for files with leave to fetch
}

// apart is where the other box listens. A box there is no client.
const apart = "127.0.0.2"

// askers is a shelf that passes on who may have it fetch.
type askers struct {
	*shelf
	asked chan peer.Asker
}

func (a askers) Open(ctx context.Context, by peer.Asker, d digest.Digest, r peer.Request) (peer.Upload, error) {
	if r.Fetch != peer.NoFetch {
		a.asked <- by
	}
	return a.shelf.Open(ctx, by, d, r)
}

// acquaint has the box dial the other two, so that it knows their addresses for
// sure.
func acquaint(t *testing.T, kind peer.Kind) *acquaintance {
	t.Helper()
	a := &acquaintance{asked: make(chan peer.Asker, 10)}
	var key []byte
	if kind == peer.Member {
		key = NewKey()
	}
	a.other = newBox(t, func(o *settings) { o.Key, o.Listen = key, []string{"/ip4/" + apart + "/tcp/0"} }).run(t)
	a.witness = newBox(t, func(o *settings) { o.Key = key }).run(t)
	a.box = newBox(t, func(o *settings) {
		o.Key, o.Network.Public = key, nil
		o.Bootstrap = []string{a.other.dialled(), a.witness.dialled()}
		o.AllowClients = func(ip netip.Addr) bool { return kind != peer.Stranger || ip.String() != apart }
		o.UploadRate, o.SiteUnlimited = 1<<20, true
		o.Network.Host = []libp2p.Option{libp2p.ForceReachabilityPublic()} // runs a relay
	})
	a.box.inventory = askers{a.box.shelf, a.asked}
	a.box.releases = suites(func(context.Context, peer.Asker, peer.ReleaseQuery, func()) (peer.ReleaseOffer, error) {
		return peer.ReleaseOffer{}, nil
	})
	a.box.reporter = new(reporter)
	a.box.run(t)
	until(t, "all know what the others are", func() bool {
		return a.box.knows(a.other) && a.other.knows(a.box) && a.box.knows(a.witness) && a.witness.knows(a.box)
	})
	if got := a.box.kind(a.other.self()); got != kind {
		t.Fatalf("the other box is a %v, want a %v", got, kind)
	}
	return a
}

const no, yes = false, true

// kindTable is the table of SECURITY.md.
var kindTable = []struct {
	name                    string
	member, local, stranger bool
	has                     func(t *testing.T, a *acquaintance, want bool) bool
}{
	{"files", yes, yes, yes, getsFiles},
	{"records", yes, yes, yes, findsRecords},
	{"inventory", yes, yes, no, learnsInventory},
	{"inventory-believed", yes, yes, no, inventoryIsBelieved},
	{"links", yes, yes, no, learnsLinks},
	{"links-believed", yes, yes, no, linksAreBelieved},
	{"reports", yes, yes, no, getsReports},
	{"fetch", yes, yes, no, hasBoxFetch},
	{"owner", yes, yes, no, isOwner},
	{"upload-rate", yes, yes, no, isUnmetered},
	{"releases", yes, yes, no, getsReleases},
	{"relay", yes, no, no, getsRelay},
	{"relay-chosen", yes, no, no, isRelay},
	{"private-addresses", yes, no, no, isDialledInside},
}

// TestKinds has a box of each kind try what the table is about.
func TestKinds(t *testing.T) {
	long(t)
	t.Parallel()
	for _, row := range kindTable {
		for kind, want := range map[peer.Kind]bool{peer.Member: row.member, peer.Local: row.local, peer.Stranger: row.stranger} {
			t.Run(kind.String()+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				if got := row.has(t, acquaint(t, kind), want); got != want {
					t.Errorf("%s of a %v: %t, want %t", row.name, kind, got, want)
				}
			})
		}
	}
}

// TestKindsAreDocumented holds SECURITY.md to the table.
func TestKindsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	word := map[bool]string{no: "no", yes: "yes"}
	for _, row := range kindTable {
		cells := fmt.Sprintf(" | %s | %s | %s | `%s` |\n", word[row.member], word[row.local], word[row.stranger], row.name)
		if strings.Count(string(text), cells) != 1 {
			t.Errorf("SECURITY.md has no row %q", cells)
		}
	}
}

// eventually is ok, for which it waits if it is expected.
func eventually(t *testing.T, expected bool, ok func() bool) bool {
	t.Helper()
	if expected {
		until(t, "what such a box has", ok)
	}
	return ok()
}

func getsFiles(t *testing.T, a *acquaintance, _ bool) bool {
	d := a.box.shelf.put([]byte("a blob"))
	st, err := a.other.peer(a.box.self()).Open(t.Context(), d, peer.Request{Fetch: peer.FetchAnywhere})
	if err != nil {
		return false
	}
	return string(readAll(t, st)) == "a blob"
}

func findsRecords(t *testing.T, a *acquaintance, want bool) bool {
	d := a.box.shelf.put([]byte("a blob"))
	return eventually(t, want, func() bool { return a.other.findAll(t.Context(), d)[a.box.self()] })
}

func learnsInventory(t *testing.T, a *acquaintance, want bool) bool {
	d := a.box.shelf.put([]byte("a blob"))
	a.box.Announce(digest.Of([]byte("a download")), true)
	told := func(b *box) bool {
		return len(b.Seeds(d)) == 1 && len(b.Downloaders(digest.Of([]byte("a download")))) == 1
	}
	until(t, "the witness is told", func() bool { return told(a.witness) })
	v := a.box.inventories
	v.mu.Lock()
	_, telling := v.wanted[a.other.self()]
	v.mu.Unlock()
	if telling != want {
		t.Errorf("a stream is kept open: %t", telling)
	}
	return eventually(t, want, func() bool { return told(a.other) })
}

func inventoryIsBelieved(t *testing.T, a *acquaintance, want bool) bool {
	d := a.other.shelf.put([]byte("a blob"))
	a.witness.shelf.put([]byte("a blob"))
	a.other.Announce(d, true)
	a.witness.Announce(d, true)
	believed := func(b *box) bool {
		said := func(all []peer.Peer) bool {
			return slices.ContainsFunc(all, func(p peer.Peer) bool { return p.ID() == b.self().String() })
		}
		return said(a.box.Seeds(d)) && said(a.box.Downloaders(d))
	}
	if !want {
		if err := a.other.inventories.tell(t.Context(), a.box.self()); err == nil {
			t.Error("the stream of a stranger is read")
		}
		if a.box.inventories.of(a.other.self()) != nil { // another one replaced it
			return true
		}
	}
	until(t, "the witness is believed", func() bool { return believed(a.witness) })
	return eventually(t, want, func() bool { return believed(a.other) })
}

func learnsLinks(t *testing.T, a *acquaintance, want bool) bool {
	_, err := a.other.links.ask(t.Context(), a.box.self())
	if !want && !errors.Is(err, network.ErrReset) {
		t.Errorf("got %v, want %v", err, network.ErrReset)
	}
	return err == nil
}

// getsReports has the other box ask, and looks whether it would be asked.
func getsReports(t *testing.T, a *acquaintance, want bool) bool {
	a.other.host.SetStreamHandler(reportsProtocol, func(st network.Stream) { st.Reset() })
	_, err := a.other.AskReport(t.Context(), a.box.self().String(), []byte("how much"))
	if !want && !errors.Is(err, network.ErrReset) {
		t.Errorf("got %v, want %v", err, network.ErrReset)
	}
	asked := eventually(t, want, func() bool {
		return slices.ContainsFunc(a.box.Reporters(), func(n peer.Neighbour) bool { return n.ID == a.other.self().String() })
	})
	if asked != want {
		t.Errorf("it would be asked: %t", asked)
	}
	return err == nil
}

func linksAreBelieved(t *testing.T, a *acquaintance, want bool) bool {
	far := newIDs(t, 1)[0]
	for _, b := range []*box{a.other, a.witness} {
		b.host.SetStreamHandler(linksProtocol, func(st network.Stream) {
			st.Write(appendLinks(nil, linksTo(far)))
			st.Close()
		})
	}
	believed := func(b *box) bool {
		a.box.links.mu.Lock()
		clear(a.box.links.answers)
		a.box.links.mu.Unlock()
		return a.box.Graph().has(b.self(), far)
	}
	until(t, "the witness is believed", func() bool { return believed(a.witness) })
	return eventually(t, want, func() bool { return believed(a.other) })
}

func hasBoxFetch(t *testing.T, a *acquaintance, _ bool) bool {
	_, err := a.other.peer(a.box.self()).Open(t.Context(), digest.Of([]byte("held by nobody")), peer.Request{Fetch: peer.FetchAnywhere})
	if err == nil {
		t.Fatal("the blob is there")
	}
	select {
	case by := <-a.asked:
		if by.Kind != a.box.kind(a.other.self()) || by.ID != a.other.self().String() {
			t.Errorf("asked by %+v", by)
		}
		return true
	default:
		return false
	}
}

func isOwner(t *testing.T, a *acquaintance, _ bool) bool {
	owns := func(b *box) bool {
		for i := range 100 {
			if slices.ContainsFunc(a.box.Owners(digest.Of(numbered(i))), func(p peer.Peer) bool { return p.ID() == b.self().String() }) {
				return true
			}
		}
		return false
	}
	if !owns(a.witness) {
		t.Error("the witness is no owner")
	}
	return owns(a.other)
}

func isUnmetered(t *testing.T, a *acquaintance, _ bool) bool {
	if !a.box.transfers.unlimited(a.witness.self().String()) {
		t.Error("the witness keeps to the upload rate")
	}
	return a.box.transfers.unlimited(a.other.self().String())
}

func getsRelay(t *testing.T, a *acquaintance, want bool) bool {
	reserved := func() bool {
		_, err := client.Reserve(t.Context(), a.other.host, p2p.AddrInfo{ID: a.box.self(), Addrs: a.box.host.Addrs()})
		return err == nil
	}
	until(t, "the box runs a relay", func() bool {
		return slices.Contains(a.box.host.Mux().Protocols(), "/libp2p/circuit/relay/0.2.0/hop")
	})
	return eventually(t, want, reserved)
}

func isRelay(t *testing.T, a *acquaintance, _ bool) bool {
	candidates := a.box.boxes.relays(t.Context(), 10, func(id p2p.ID) bool { return a.box.gate.may(id, relaying) })
	chosen := false
	for info := range candidates {
		chosen = chosen || info.ID == a.other.self()
	}
	return chosen
}

func isDialledInside(_ *testing.T, a *acquaintance, _ bool) bool {
	return a.box.gate.InterceptAddrDial(a.other.self(), ma.StringCast("/ip4/127.0.0.1/tcp/22"))
}

// TestKind is the definition of the kinds.
func TestKind(t *testing.T) {
	t.Parallel()
	everybody := func(netip.Addr) bool { return true }
	nobody := func(netip.Addr) bool { return false }
	const near, far = time.Millisecond, nearbyRTT
	for _, tt := range []struct {
		name    string
		clients func(netip.Addr) bool
		rtt     time.Duration // 0: not measured
		key     bool
		want    peer.Kind
	}{
		{"a client that is near", everybody, near, false, peer.Local},
		{"a client that is far", everybody, far, false, peer.Stranger},
		{"a client that is not measured yet", everybody, 0, false, peer.Stranger},
		{"no client, but near", nobody, near, false, peer.Stranger},
		{"no policy", nil, near, false, peer.Stranger},
		{"with the key", nobody, far, true, peer.Member},
		{"with the key, not measured yet", nil, 0, true, peer.Member},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var key []byte
			if tt.key {
				key = NewKey()
			}
			other := newBox(t, func(o *settings) { o.Key = key }).run(t)
			b := newBox(t, func(o *settings) {
				o.Key, o.AllowClients, o.Bootstrap = key, tt.clients, []string{other.dialled()}
			})
			pinged := make(chan struct{}, 100)
			b.rtts.ping = func(ctx context.Context, _ p2p.ID) (time.Duration, error) {
				if tt.rtt == 0 {
					pinged <- struct{}{}
					<-ctx.Done()
					return 0, context.Canceled
				}
				return tt.rtt, nil
			}
			b.run(t)
			if tt.rtt == 0 {
				<-pinged
			} else {
				until(t, "a measurement", func() bool { return b.knows(other) })
			}
			if got := b.kind(other.self()); got != tt.want {
				t.Errorf("a %v, want a %v", got, tt.want)
			}
			if got := b.Peers(); len(got) != 1 || got[0].Kind != tt.want {
				t.Errorf("shown as %+v", got)
			}
		})
	}
	t.Run("listed", func(t *testing.T) {
		t.Parallel()
		other := newBox(t, nil)
		defer other.Close()
		b := newBox(t, func(o *settings) { o.AllowClients, o.AllowPeers = nil, []string{other.self().String()} })
		defer b.Close()
		if got := b.kind(other.self()); got != peer.Member {
			t.Errorf("a %v, want a member", got)
		}
	})
}

// TestKindChanges has a box become slow and fast again: its inventory comes and
// goes, in both directions.
func TestKindChanges(t *testing.T) {
	t.Parallel()
	other := newBox(t, nil).run(t)
	b := newBox(t, func(o *settings) { o.Bootstrap = []string{other.dialled()} })
	var mu sync.Mutex
	rtt := time.Millisecond
	b.rtts.ping = func(context.Context, p2p.ID) (time.Duration, error) {
		mu.Lock()
		defer mu.Unlock()
		return rtt, nil
	}
	there, here := other.shelf.put([]byte("there")), b.shelf.put([]byte("here"))
	b.run(t)
	change := func(to time.Duration) {
		mu.Lock()
		rtt = to
		mu.Unlock()
		for range rttSamples {
			b.rtts.add(other.self(), to)
		}
		b.rtts.measured(other.self())
	}
	for i := range 2 {
		until(t, fmt.Sprintf("inventories, time %d", i+1), func() bool {
			return len(b.Seeds(there)) == 1 && len(other.Seeds(here)) == 1
		})
		change(nearbyRTT)
		until(t, "no inventories", func() bool { return len(b.Seeds(there)) == 0 && len(other.Seeds(here)) == 0 })
		if b.kind(other.self()) != peer.Stranger {
			t.Error("a slow box is no stranger")
		}
		change(time.Millisecond)
	}
}
