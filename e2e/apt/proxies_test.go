package apt

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
)

// balancerIP is where haproxy's connections to the box come from, and those of
// nobody else.
const balancerIP = "127.0.0.8"

// balance starts a haproxy in front of a box and returns its address.
func balance(t *testing.T, b *box.Box, mode, send string) string {
	t.Helper()
	addr, conf := box.FreeAddr(t), filepath.Join(t.TempDir(), "conf")
	writeFile(t, conf, fmt.Sprintf(`defaults
	timeout connect 10s
	timeout client 60s
	timeout server 60s
listen box
	mode %s
	bind %s
	server box %s source %s %s
`, mode, addr, strings.TrimPrefix(b.URL, "http://"), balancerIP, send))
	cmd := exec.Command("haproxy", "-db", "-f", conf)
	output := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // reports the kill
	})
	err := poll.Until(t.Context(), 30*time.Second, "haproxy listens", func() error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	return addr
}

// Behind a real balancer the box knows apt by its own address, whichever way the
// balancer tells it, and would not take the balancer for a client.
func TestBehindABalancer(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct{ name, mode, send, trusted, want string }{
		{"PROXY protocol 1", "tcp", "send-proxy", balancerIP, "127.0.0.1"},
		{"PROXY protocol 2", "tcp", "send-proxy-v2 proxy-v2-options unique-id,crc32c", balancerIP, "127.0.0.1"},
		{"X-Forwarded-For", "http\n\toption forwardfor", "", balancerIP, "127.0.0.1"},
		{"nobody is trusted", "http\n\toption forwardfor", "", "192.0.2.1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := box.Start(t, s.settings(t, "MILLPOND_TRUSTED_PROXIES="+tt.trusted, "MILLPOND_ALLOW_CLIENTS=127.0.0.1")...)
			c := s.client(t)
			c.Proxy("http://" + balance(t, b, tt.mode, tt.send))
			if tt.want == "" {
				wantRefused(t, c, "403", balancerIP)
				return
			}
			everything(t, c)
			var page api.Page[api.Account]
			if err := json.Unmarshal(b.Get("/api/v1/clients"), &page); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, a := range page.Items {
				names = append(names, a.Name)
			}
			if !slices.Equal(names, []string{tt.want}) {
				t.Errorf("the clients are %q, want %s", names, tt.want)
			}
		})
	}
}
