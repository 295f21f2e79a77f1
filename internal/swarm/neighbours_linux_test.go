package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

func init() { roles["full"] = full }

// localVariable has the addresses whose boxes the hub takes for local ones.
const localVariable = "MILLPOND_SWARM_TEST_LOCAL"

// TestCrowdOfNeighbours has one address send 256 identities to a box that has room for
// 64 neighbours, and then boxes come from this address and from another one.
func TestCrowdOfNeighbours(t *testing.T) {
	t.Parallel()
	for name, local := range map[string]string{
		"strangers": "10.79.0.3/32", // but for one that was there before
		"local":     "10.0.0.0/8",
	} {
		t.Run(name, func(t *testing.T) {
			t.Log(play(t, "full", localVariable+"="+local, crowdVariable+"=256 0 0"))
		})
	}
}

// soon bounds how long a newcomer may take to be a neighbour; most of it is the machine's.
const soon = 10 * time.Second

func full() error {
	local, err := netip.ParsePrefix(os.Getenv(localVariable))
	if err != nil {
		return err
	}
	far, orders, answers, err := cable("crowd")
	if err != nil {
		return err
	}
	if err := ip("addr add 10.78.0.1/24 dev near\naddr add 10.79.0.1/24 dev near\n"); err != nil {
		return err
	}
	const memory, files = 128 << 20, 4096
	hub, err := start(func(o *settings) {
		o.Listen = []string{"/ip4/10.77.0.1/tcp/4001", "/ip4/10.78.0.1/tcp/4001", "/ip4/10.79.0.1/tcp/4001"}
		o.Memory, o.Files = memory, files
		o.AllowClients = local.Contains
	})
	if err != nil {
		return err
	}
	most, peak := boundsOf(memory, files).neighbours, watchNeighbours(context.Background(), hub)
	if err := tell(orders, answers, "box 10.79.0.3 "+crowdedAt("10.79.0.1", hub)); err != nil {
		return err
	}
	if err := wait("a local box", func() bool { id := millpondAt(hub, "10.79.0.3"); return id != "" && hub.kind(id) == peer.Local }); err != nil {
		return err
	}
	if err := tell(orders, answers, "crowd "+crowdedAt("10.77.0.1", hub)); err != nil {
		return err
	}
	fmt.Printf("a crowd: %d neighbours\n", hub.Status().Neighbours)
	for own, to := range map[string]string{"10.78.0.9": "10.78.0.1", "10.77.0.2": "10.77.0.1"} {
		begun := time.Now()
		if err := tell(orders, answers, "box "+own+" "+crowdedAt(to, hub)); err != nil {
			return err
		}
		if err := wait("a box from "+own, func() bool { return millpondAt(hub, own) != "" }); err != nil {
			return fmt.Errorf("%w beside %d neighbours", err, hub.Status().Neighbours)
		}
		took := time.Since(begun)
		fmt.Printf("a box from %s: a neighbour after %v\n", own, took.Round(time.Millisecond))
		if took > soon {
			return fmt.Errorf("a box from %s became a neighbour after %v", own, took)
		}
	}
	if millpondAt(hub, "10.79.0.3") == "" {
		return errors.New("the box that was there before the crowd has lost its place")
	}
	if n := peak.Load(); n > int64(most) {
		return fmt.Errorf("%d neighbours at once, at most %d are allowed", n, most)
	}
	if err := onlyServersAreProtected(hub, millpondAt(hub, "10.78.0.9")); err != nil {
		return err
	}
	orders.Close()
	return far.Wait()
}

// millpondAt returns the neighbour at an address that is no part of the crowd.
func millpondAt(hub *box, addr string) p2p.ID {
	for _, p := range hub.Peers() {
		if strings.HasPrefix(p.Addr, "/ip4/"+addr+"/") && strings.HasPrefix(p.Agent, "millpond/") {
			return idOf(p.ID)
		}
	}
	return ""
}

// onlyServersAreProtected has the hub take a blob from one neighbour, and then say that
// a file was right.
func onlyServersAreProtected(hub *box, from p2p.ID) error {
	protected := func() (n int) {
		for _, id := range hub.boxes.ids() {
			if hub.host.ConnManager().IsProtected(id, "") {
				n++
			}
		}
		return n
	}
	if n := protected(); n != 0 {
		return fmt.Errorf("%d neighbours that never sent anything are protected", n)
	}
	st, err := hub.peer(from).Open(context.Background(), digest.Of(numbered(0)), peer.Request{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, st); err != nil {
		return err
	}
	if err := st.Close(); err != nil {
		return err
	}
	if n := protected(); n != 0 {
		return fmt.Errorf("%d neighbours are protected before anything they sent was verified", n)
	}
	hub.peer(from).Report(peer.Outcome{Right: 1 << 20})
	return wait("the protection of the box that served", func() bool {
		return hub.host.ConnManager().IsProtected(from, boxTag) && protected() == 1
	})
}
