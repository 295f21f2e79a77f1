package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
)

func init() {
	roles["crowded"] = crowded
	roles["crowd"] = crowd
}

// crowdVariable says what the crowd does when it is ordered to: identities, entries and
// streams of each.
const crowdVariable = "MILLPOND_SWARM_TEST_CROWD"

// TestCrowdAtOneAddress has an address make many identities, each of which opens what
// it can: they stay within the bounds, and a box of another address is served.
func TestCrowdAtOneAddress(t *testing.T) {
	t.Parallel()
	for _, does := range []string{"25 2000000 0", "200 50000 0", "25 0 500", "450 0 0"} {
		t.Run(does, func(t *testing.T) { t.Log(play(t, "crowded", crowdVariable+"="+does)) })
	}
}

// TestSilentConnections has 3 addresses connect and say nothing.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	t.Log(play(t, "crowded", crowdVariable+"=silent"))
}

const (
	crowdMemory = 512 << 20
	crowdFiles  = 4096
)

func crowded() error {
	far, orders, answers, err := cable("crowd")
	if err != nil {
		return err
	}
	if err := ip("addr add 10.78.0.1/24 dev near\n"); err != nil {
		return err
	}
	hub, err := start(func(o *settings) {
		o.Listen = []string{"/ip4/10.77.0.1/tcp/4001", "/ip4/10.78.0.1/tcp/4001"}
		o.Memory, o.Files = crowdMemory, crowdFiles
	})
	if err != nil {
		return err
	}
	bounds := boundsOf(crowdMemory, crowdFiles)
	before := heap()
	if err := tell(orders, answers, "crowd "+crowdedAt("10.77.0.1", hub)); err != nil {
		return err
	}
	inbound := func(at string) (n int) {
		for _, c := range hub.host.Network().Conns() {
			if strings.HasPrefix(c.RemoteMultiaddr().String(), "/ip4/"+at+"/") {
				n++
			}
		}
		return n
	}
	entries, streams := bounds.inventory-hub.inventories.entries.Free(), 0
	for _, c := range hub.host.Network().Conns() {
		streams += len(c.GetStreams())
	}
	after := heap()
	fmt.Printf("crowd: %d connections, %d entries, %d streams, %.1f MB more of heap\n", inbound("10.77.0.2"), entries, streams, float64(after-before)/1e6)
	if n := inbound("10.77.0.2"); n > bounds.conns*3/4 {
		return fmt.Errorf("%d connections of one address, at most %d are allowed", n, bounds.conns*3/4)
	}
	if entries > bounds.inventory || streams > bounds.streams*3/2 {
		return fmt.Errorf("%d entries and %d streams, at most %d and %d are allowed", entries, streams, bounds.inventory, bounds.streams)
	}
	// A box of another address.
	if err := tell(orders, answers, "box 10.78.0.9 "+crowdedAt("10.78.0.1", hub)); err != nil {
		return err
	}
	if err := wait("the inventory of the box", func() bool {
		for _, p := range hub.Peers() {
			if strings.HasPrefix(p.Addr, "/ip4/10.78.0.9/") && p.Held == boxBlobs {
				return true
			}
		}
		return false
	}); err != nil {
		return fmt.Errorf("%w; %d connections of the crowd, %d entries free", err, inbound("10.77.0.2"), hub.inventories.entries.Free())
	}
	fmt.Printf("and a box of another address, whose inventory of %d blobs is whole\n", boxBlobs)
	orders.Close()
	return far.Wait()
}

// crowdedAt is the hub's multiaddr at one of its addresses.
func crowdedAt(addr string, hub *box) string {
	return "/ip4/" + addr + "/tcp/4001/p2p/" + hub.self().String()
}

// heap is the memory in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

const boxBlobs = 10_000 // less than a share beside 200 others

func crowd() error {
	orders, err := plug()
	if err != nil {
		return err
	}
	if err := ip("addr add 10.77.0.3/24 dev far\naddr add 10.77.0.4/24 dev far\naddr add 10.78.0.9/24 dev far\naddr add 10.79.0.3/24 dev far\n"); err != nil {
		return err
	}
	for {
		order, err := orders.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch words := strings.Fields(order); {
		case words[0] == "box":
			err = boxOfBlobs(words[1], words[2])
		case os.Getenv(crowdVariable) == "silent":
			err = beSilent()
		default:
			err = flood(words[1], os.Getenv(crowdVariable))
		}
		if err != nil {
			return err
		}
		fmt.Println("done")
	}
}

// boxOfBlobs starts a box at an address that knows another one.
func boxOfBlobs(own, other string) error {
	_, err := start(func(o *settings) {
		o.Listen, o.Bootstrap = []string{"/ip4/" + own + "/tcp/0"}, []string{other}
		for i := range boxBlobs {
			o.Inventory.(*shelf).put(numbered(i))
		}
	})
	return err
}

// flood does to the hub what does says, from 10.77.0.2.
func flood(at, does string) error {
	hub, err := p2p.AddrInfoFromString(at)
	if err != nil {
		return err
	}
	var identities, entries, streams int
	if _, err := fmt.Sscan(does, &identities, &entries, &streams); err != nil {
		return err
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for range identities {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/10.77.0.2/tcp/0"), libp2p.DisableMetrics(), libp2p.DisableRelay(),
			libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			return err
		}
		h.SetStreamHandler(blobProtocol, func(st network.Stream) { st.Reset() })
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if h.Connect(context.Background(), *hub) == nil {
				_ = sendListing(h, hub.ID, entries)
				for range streams { // none says which protocol it wants
					_, _ = h.Network().NewStream(network.WithNoDial(context.Background(), "flood"), hub.ID)
				}
			}
		})
	}
	all.Wait()
	return nil
}

// sendListing sends an inventory of made-up blobs.
func sendListing(h host.Host, hub p2p.ID, entries int) error {
	if entries == 0 {
		return nil
	}
	st, err := h.NewStream(context.Background(), hub, inventoryProtocol)
	if err != nil {
		return err
	}
	return writeListing(st, entries)
}

// beSilent opens as many connections from three addresses as it can.
func beSilent() error {
	var open []net.Conn
	for _, from := range []string{"10.77.0.2", "10.77.0.3", "10.77.0.4"} {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		for range boundsOf(crowdMemory, crowdFiles).pending {
			c, err := dialer.Dial("tcp", "10.77.0.1:4001")
			if err != nil {
				return err
			}
			open = append(open, c)
		}
	}
	if len(open) < 300 {
		return errors.New("too few connections: " + strconv.Itoa(len(open)))
	}
	silent = slices.Clip(open)
	return nil
}

// silent keeps the connections from being collected.
var silent []net.Conn
