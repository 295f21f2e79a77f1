package swarm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

func init() {
	roles["public"] = natPublic
	roles["router"] = natRouter
	roles["giver"] = natGiver
	roles["taker"] = natTaker
}

// noPunchingVariable, if set, keeps the boxes from punching holes.
const noPunchingVariable = "MILLPOND_SWARM_TEST_NO_PUNCHING"

// TestNAT has a giver and a taker in two home networks, each behind a router that
// masquerades and drops unsolicited packets, and a public box that is bootstrap
// for both. libp2p must treat the addresses between the routers as public, so they
// are of a real network; no packet leaves the namespaces.
//
//	giver 192.168.1.2 - router 11.0.0.2 -+- router 11.0.0.3 - taker 192.168.2.2
//	                                     |
//	                              public 11.0.0.1
//
// The taker finds the giver in the DHT and connects to it by hole punching; the
// file does not pass through the public box. They are members: there are no relays
// for others.
func TestNAT(t *testing.T) {
	t.Parallel()
	t.Log(play(t, "public", keyVariable+"="+string(NewKey())))
}

// TestNATWithoutPunching validates TestNAT: without hole punching there is no
// direct connection, and no byte of a file passes through the relay.
func TestNATWithoutPunching(t *testing.T) {
	t.Parallel()
	t.Log(play(t, "public", keyVariable+"="+string(NewKey()), noPunchingVariable+"=1"))
}

func onePublic(o *settings) {
	realPolicy(o)
	o.Listen = []string{"/ip4/11.0.0.1/tcp/4001"}
	// By itself it takes AutoNAT 15 s and other public boxes to find out.
	o.Network.Host = []libp2p.Option{libp2p.ForceReachabilityPublic()}
}

func behindNAT(o *settings) {
	realPolicy(o)
	o.Listen = []string{"/ip4/0.0.0.0/tcp/4001"}
	o.Network.Host = []libp2p.Option{libp2p.ForceReachabilityPrivate()}
	if os.Getenv(noPunchingVariable) != "" {
		o.Network.Host = append(o.Network.Host, func(c *libp2p.Config) error {
			c.EnableHolePunching = false
			return nil
		})
	}
	o.Mode = Client
}

// party is a process in a namespace of its own.
type party struct {
	*exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
}

func enlist(role string) (*party, error) {
	p := &party{Cmd: process(role)}
	p.Stderr = os.Stderr
	var err error
	if p.orders, err = p.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = bufio.NewReader(out)
	return p, p.Start()
}

// order sends lines and returns the line that answers.
func (p *party) order(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(p.orders, format+"\n", args...); err != nil {
		return "", err
	}
	line, err := p.answers.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("no answer to %q: %w", format, err)
	}
	return strings.TrimSpace(line), nil
}

func natPublic() error {
	if err := ip("link set lo up\nlink add net type bridge\naddr add 11.0.0.1/24 dev net\nlink set net up\n"); err != nil {
		return err
	}
	var boxes, routers []*party
	for i, role := range []string{"giver", "taker"} {
		router, err := enlist("router")
		if err != nil {
			return err
		}
		box, err := enlist(role)
		if err != nil {
			return err
		}
		boxes, routers = append(boxes, box), append(routers, router)
		if err := ip(fmt.Sprintf(`link add out%[1]d type veth peer name wan
link set out%[1]d master net
link set out%[1]d up
link set wan netns %[2]d
link add lan type veth peer name home
link set lan netns %[2]d
link set home netns %[3]d
`, i+1, router.Process.Pid, box.Process.Pid)); err != nil {
			return err
		}
		if _, err := router.order("%d", i+1); err != nil {
			return err
		}
	}
	b, err := start(onePublic)
	if err != nil {
		return err
	}
	giver, taker := boxes[0], boxes[1]
	wanted, err := giver.order("%s 1", b.dialled())
	if err != nil {
		return err
	}
	before, err := onInterface("net")
	if err != nil {
		return err
	}
	said, err := taker.order("%s 2 %s", b.dialled(), wanted)
	if err != nil {
		return err
	}
	after, err := onInterface("net")
	if err != nil {
		return err
	}
	fmt.Printf("%s; %.0f bytes to and from the public box meanwhile\n", said, after-before)
	if after-before > natBlob/4 {
		return errors.New("the file went by the relay")
	}
	for _, p := range append(boxes, routers...) {
		p.orders.Close()
		if err := p.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// natRouter is a home router: it drops unsolicited packets, rather than refuse
// them.
func natRouter() error {
	orders := bufio.NewReader(os.Stdin)
	number, err := orders.ReadString('\n')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		return err
	}
	if err := ip(fmt.Sprintf(`addr add 11.0.0.%d/24 dev wan
addr add 192.168.%d.1/24 dev lan
link set wan up
link set lan up
`, n+1, n)); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	rules := exec.Command("nft", "-f", "-")
	rules.Stdin = strings.NewReader(`table ip home {
	chain out {
		type nat hook postrouting priority srcnat
		oifname "wan" masquerade
	}
	chain own {
		type filter hook input priority filter
		iifname "wan" ct state new drop
	}
	chain in {
		type filter hook forward priority filter
		iifname "wan" ct state new drop
	}
}
`)
	if out, err := rules.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(out))
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, orders)
	return err
}

const natBlob = 8 << 20

// goHome sets up a box behind a router and returns it with what it is to take.
func goHome() (b *box, wanted string, orders *bufio.Reader, err error) {
	orders = bufio.NewReader(os.Stdin)
	line, err := orders.ReadString('\n')
	if err != nil {
		return nil, "", nil, err
	}
	order := strings.Fields(line) // the public box, the number of the home, what to take
	if len(order) < 2 {
		return nil, "", nil, fmt.Errorf("order %q", line)
	}
	if err := ip(fmt.Sprintf(`link set lo up
addr add 192.168.%[1]s.2/24 dev home
link set home up
route add default via 192.168.%[1]s.1
`, order[1])); err != nil {
		return nil, "", nil, err
	}
	b, err = start(func(o *settings) { behindNAT(o); o.Bootstrap = []string{order[0]} })
	if err != nil {
		return nil, "", nil, err
	}
	return b, order[len(order)-1], orders, wait("the public box", func() bool { return b.Status().Neighbours == 1 })
}

func natGiver() error {
	b, _, orders, err := goHome()
	if err != nil {
		return err
	}
	if err := wait("a relay", func() bool { return strings.Contains(strings.Join(b.Identity().Addrs, " "), "/p2p-circuit") }); err != nil {
		return err
	}
	d := b.shelf.put(randomBytes(natBlob))
	if err := wait("the announcement", func() bool { done, _, _ := b.announcer.progress(); return done == 1 }); err != nil {
		return err
	}
	fmt.Println(d)
	_, err = io.Copy(io.Discard, orders)
	return err
}

func natTaker() error {
	b, wanted, orders, err := goHome()
	if err != nil {
		return err
	}
	d, err := digest.Parse(wanted)
	if err != nil {
		return err
	}
	punching := os.Getenv(noPunchingVariable) == ""
	begun := time.Now()
	var a *peer.Stream
	var from *remote
	patience := 5 * time.Second
	if punching {
		patience = 3 * relayedFor
	}
	for deadline := begun.Add(patience); a == nil && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		for p := range b.Find(context.Background(), d) {
			if a, err = p.Open(context.Background(), d, peer.Request{}); err == nil {
				from = p.(*remote)
				break
			}
		}
	}
	switch {
	case a == nil && punching:
		return fmt.Errorf("no way to the giver: %v; peers %+v\n%s", err, b.Peers(), b.log.buf.String())
	case a != nil && !punching:
		return errors.New("a file came without a hole")
	case a == nil:
		for _, p := range b.Peers() {
			if p.Path == "relayed" {
				fmt.Println("no direct way to the giver, which is connected by the relay")
				_, err = io.Copy(io.Discard, orders)
				return err
			}
		}
		return errors.New("the giver is not connected by the relay either")
	}
	took := time.Since(begun)
	got, err := io.ReadAll(a)
	if err != nil || len(got) != natBlob {
		return fmt.Errorf("%d bytes, %w", len(got), err)
	}
	c := b.direct(from.id)
	if c == nil || !strings.HasPrefix(c.RemoteMultiaddr().String(), "/ip4/11.0.0.2/") {
		return fmt.Errorf("the giver is at %v", b.address(from.id))
	}
	fmt.Printf("direct way to %s after %s\n", c.RemoteMultiaddr(), took.Round(time.Millisecond))
	_, err = io.Copy(io.Discard, orders)
	return err
}
