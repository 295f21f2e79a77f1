package apt

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/nameserver"
)

// manualBlock is the block of a language in the manual's page on names, for the addresses
// of the test.
func manualBlock(t *testing.T, language string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/using/by-name.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(b)
	if m == nil {
		t.Fatalf("by-name.md has no block of %s", language)
	}
	return strings.ReplaceAll(string(m[1]), "10.1.0.5", namedBox)
}

// startServer runs a DNS server until the test ends, and waits for its answers.
func startServer(t *testing.T, name string, args ...string) {
	t.Helper()
	need(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, siteDNS+":53")
	}}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		all, err := r.LookupHost(t.Context(), namedArchive+".")
		if err == nil {
			if len(all) != 1 || all[0] != namedBox {
				t.Fatalf("%s answers %q, want the box and nothing else", name, all)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", name, err)
		}
	}
}

// TestByNameServers has real DNS servers, with the manual's lines, lead a stock apt to the
// box.
func TestByNameServers(t *testing.T) {
	s, _ := newNamedSiteWithout(t, publicDNS)
	// The world has an IPv6 address and an SRV record for the name, which must not get
	// through: apt prefers both.
	const elsewhere = "127.77.18.55"
	nameserver.Serve(t, elsewhere, nameserver.Zone{
		Addresses: map[string]string{namedArchive: "2001:db8::9", "mirror.example.org": namedMirror},
		Services:  map[string]string{"_http._tcp." + namedArchive: "mirror.example.org"},
	})
	conf := filepath.Join(t.TempDir(), "server.conf")
	for name, start := range map[string]func(*testing.T){
		"dnsmasq": func(t *testing.T) {
			writeFile(t, conf, manualBlock(t, "dnsmasq"))
			startServer(t, "dnsmasq", "--keep-in-foreground", "--conf-file="+conf, "--listen-address="+siteDNS, "--bind-interfaces", "--no-resolv", "--server="+elsewhere, "--no-hosts", "--user=root", "--pid-file=")
		},
		"unbound": func(t *testing.T) {
			writeFile(t, conf, manualBlock(t, "unbound")+"    interface: "+siteDNS+"\n    do-daemonize: no\n    use-syslog: no\n    username: \"\"\n    chroot: \"\"\n    pidfile: \"\"\n    access-control: 127.0.0.0/8 allow\n    do-not-query-localhost: no\n    module-config: iterator\nforward-zone:\n    name: .\n    forward-addr: "+elsewhere+"\n")
			startServer(t, "unbound", "-d", "-c", conf)
		},
	} {
		t.Run(name, func(t *testing.T) {
			start(t)
			newUnaware(t, s, "http").everything(t)
		})
	}
	onlyTheBox(t, s)
}
