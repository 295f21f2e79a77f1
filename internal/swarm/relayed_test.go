package swarm

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/peer"
)

// TestRelayed connects two boxes by a relay, which limits what goes over it:
// neither blobs, inventories nor links may, and the refusal comes at once.
func TestRelayed(t *testing.T) {
	long(t)
	t.Parallel()
	middle, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	defer middle.Close()
	service, err := relay.New(middle)
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	giver, taker := newBox(t, nil).run(t), newBox(t, nil).run(t)
	d := giver.shelf.put([]byte("a blob"))
	at := p2p.AddrInfo{ID: middle.ID(), Addrs: middle.Addrs()}
	for _, b := range []*box{giver, taker} {
		if err := b.host.Connect(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Reserve(t.Context(), giver.host, at); err != nil {
		t.Fatal(err)
	}
	circuit := ma.StringCast(middle.Addrs()[0].String() + "/p2p/" + middle.ID().String() + "/p2p-circuit")
	ctx := network.WithAllowLimitedConn(t.Context(), "test")
	if err := taker.host.Connect(ctx, p2p.AddrInfo{ID: giver.self(), Addrs: []ma.Multiaddr{circuit}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the relayed box", func() bool { return taker.boxes.count() == 1 && giver.boxes.count() == 1 })
	if info := taker.Peers(); info[0].Path != "relayed" {
		t.Fatalf("the path is %s", info[0].Path)
	}
	begun := time.Now()
	if _, err := taker.peer(giver.self()).Open(t.Context(), d, peer.Request{}); !errors.Is(err, network.ErrLimitedConn) {
		t.Errorf("a blob over a relay: %v, want %v", err, network.ErrLimitedConn)
	}
	if took := time.Since(begun); took > minHeaderTimeout {
		t.Errorf("refused after %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := taker.inventories.tell(ctx, giver.self()); err == nil {
		t.Error("an inventory is sent over a relay")
	}
	if n := taker.inventories.held(giver.self()); n != 0 {
		t.Errorf("%d entries came over the relay", n)
	}
	if g := taker.Graph(); len(g.Silent) != 1 || len(g.Links) != 1 || g.Links[0].Path != "relayed" {
		t.Errorf("links over a relay: %v", g)
	}
}
