package swarm

import (
	"io"
	"net"
	"testing"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// TestCallersAtBothEnds makes one connection between two boxes that both dialled,
// like TCP's simultaneous open. Its handshake fails and is not logged as a refusal.
func TestCallersAtBothEnds(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{"open": nil, "with a key": NewKey()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			boxes := [2]*box{}
			listeners := [2]net.Listener{}
			for i := range boxes {
				boxes[i] = newBox(t, func(o *settings) { o.Key = key }).run(t)
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				listeners[i] = l
			}
			failed := make(chan error, len(boxes))
			for i, b := range boxes {
				addr, err := manet.FromNetAddr(listeners[i].Addr())
				if err != nil {
					t.Fatal(err)
				}
				to := p2p.AddrInfo{ID: boxes[1-i].self(), Addrs: []ma.Multiaddr{addr}}
				go func() { failed <- b.host.Connect(t.Context(), to) }()
			}
			conns := [2]net.Conn{}
			for i, l := range listeners {
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				conns[i] = c
			}
			for i := range conns {
				go func() {
					io.Copy(conns[i], conns[1-i])
					conns[i].Close()
				}()
			}
			for range boxes {
				if err := <-failed; err == nil {
					t.Error("two callers got through to each other")
				}
			}
			for i, b := range boxes {
				if n := b.log.count("peer refused"); n != 0 {
					t.Errorf("box %d: %s", i, b.log.buf.String())
				}
			}
		})
	}
}
