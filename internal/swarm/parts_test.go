package swarm

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func TestKey(t *testing.T) {
	t.Parallel()
	made := NewKey()
	key, err := parseKey(made)
	if err != nil || len(key) != 32 {
		t.Fatalf("own key: %d bytes, %v", len(key), err)
	}
	if tag := swarmTag(key); len(tag) != 16 || tag == swarmTag(nil) || strings.Contains(string(made), tag) {
		t.Errorf("tag %q", tag)
	}
	if name := segmentName(swarmTag(key)); len(name) != len("_mp-0123456789ab._udp") {
		t.Errorf("service name %q", name)
	}
	for name, content := range map[string][]byte{
		"no last break":   bytes.TrimSpace(made),
		"space around":    fmt.Appendf(nil, "\n%s\n\n", made),
		"capital digits":  bytes.ToUpper(made),
		"libp2p":          append([]byte(keyHead), made...),
		"libp2p, DOS":     bytes.ReplaceAll(append([]byte(keyHead), made...), []byte("\n"), []byte("\r\n")),
		"libp2p, capital": append([]byte(keyHead), bytes.ToUpper(made)...),
	} {
		if again, err := parseKey(content); err != nil || !bytes.Equal(again, key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if key, err := parseKey(nil); key != nil || err != nil {
		t.Errorf("no key: %v, %v", key, err)
	}
	for name, content := range map[string]string{
		"empty":     "",
		"blank":     " \n",
		"short":     "00112233",
		"long":      string(made[:len(made)-1]) + "00\n",
		"no digits": strings.Repeat("x", 64),
		"twice":     string(made) + string(made),

		"libp2p, empty":     keyHead,
		"libp2p, short":     keyHead + "0011\n",
		"libp2p, no digits": keyHead + strings.Repeat("x", 64),
		"libp2p, base64":    "/key/swarm/psk/1.0.0/\n/base64/\nAAAA",
	} {
		_, err := parseKey([]byte(content))
		if err == nil || !strings.Contains(err.Error(), "millpond swarm-key") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add(NewKey())
	f.Add([]byte(keyHead))
	f.Add([]byte("/key/swarm/psk/1.0.0/\n/base64/\nAAAA"))
	f.Fuzz(func(t *testing.T, content []byte) {
		key, err := parseKey(content)
		if err == nil && content != nil && len(key) != 32 {
			t.Errorf("a key of %d bytes", len(key))
		}
	})
}

func TestIdentityFile(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	file := filepath.Join(t.TempDir(), "identity")
	ids := make([]string, 8)
	var made sync.WaitGroup
	for i := range ids { // at once
		made.Go(func() {
			key, err := loadIdentity(file, log)
			if err != nil {
				t.Error(err)
				return
			}
			id, _ := p2p.IDFromPrivateKey(key)
			ids[i] = id.String()
		})
	}
	made.Wait()
	if n := len(slices.Compact(ids)); n != 1 {
		t.Errorf("%d identities from one file", n)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("%d files left", len(left))
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	var said lines
	if _, err := loadIdentity(file, slog.New(slog.NewTextHandler(&said, nil))); err != nil || said.count("identity key readable") != 1 {
		t.Errorf("no warning of an open key file: %v", err)
	}
	for _, bad := range []string{"", "not a key"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadIdentity(file, log); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAddressesChosen(t *testing.T) {
	t.Parallel()
	const loop, link, docker, lan, public, name = "/ip4/127.0.0.1/tcp/4001", "/ip6/fe80::1/tcp/4001",
		"/ip4/172.17.0.1/tcp/4001", "/ip4/192.168.1.7/tcp/4001", "/ip4/203.0.113.9/tcp/4001", "/dns4/box.example.org/tcp/4001"
	for _, c := range []struct{ all, announce, want []string }{
		{all: []string{loop, link, docker, lan, public}, want: []string{lan, public}},
		{all: []string{loop, docker}, want: []string{docker}},
		{all: []string{loop}, want: []string{loop}},
		{all: []string{loop, docker, lan}, announce: []string{name}, want: []string{name}},
		{},
	} {
		a, err := newAddresses(c.announce)
		if err != nil {
			t.Fatal(err)
		}
		a.bridges = func() (map[string]bool, error) { return map[string]bool{"172.17.0.1": true}, nil }
		var all, got []string
		var in []ma.Multiaddr
		for _, s := range c.all {
			in = append(in, ma.StringCast(s))
			all = append(all, s)
		}
		for _, m := range a.choose(in) {
			got = append(got, m.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("of %v with %v announced: got %v, want %v", all, c.announce, got, c.want)
		}
	}
}

func TestClientsAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		announce []string
		want     string
	}{
		{nil, "invalid AddrPort"},
		{[]string{"/dns4/box.example.org/tcp/4001"}, "invalid AddrPort"},
		{[]string{"/ip4/192.0.2.5/tcp/4001", "/ip4/192.0.2.6/tcp/4001"}, "192.0.2.5:0"},
		{[]string{"/ip4/192.0.2.5/tcp/4001", "/ip4/192.0.2.6/tcp/8080/http", "/ip4/192.0.2.7/tcp/80/http"}, "192.0.2.6:8080"},
		{[]string{"/ip6/fd00::7/tcp/3142/http", "/ip4/192.0.2.5/tcp/4001"}, "[fd00::7]:3142"},
	} {
		if got := ClientsAt(c.announce); got.String() != c.want {
			t.Errorf("%v: %v, want %s", c.announce, got, c.want)
		}
		a, err := newAddresses(c.announce)
		if err != nil || slices.ContainsFunc(a.announce, forClients) {
			t.Errorf("%v: boxes are told %v, %v", c.announce, a.announce, err)
		}
	}
	for _, s := range []string{"/dns4/box.example.org/tcp/3142/http", "/ip4/192.0.2.5/udp/3142/http", "/ip4/192.0.2.5/tcp/0/http", "/http", "/ip4/192.0.2.5/http"} {
		if err := CheckAnnounce(s); err == nil || !strings.Contains(err.Error(), "/ip4/192.0.2.5/tcp/3142/http") {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestBridgeNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"docker0": true, "br-0123456789ab": true, "veth12ab": true, "cni0": true, "flannel.1": true, "podman0": true, "virbr0": true,
		"eth0": false, "br0": false, "br-lan": false, "wlan0": false, "enp3s0": false, "bond0": false, "tailscale0": false,
	} {
		if got := bridge.MatchString(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestAddrOf(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"/ip4/192.0.2.1/tcp/1": "192.0.2.1", "/ip4/192.0.2.1/udp/3/quic-v1": "192.0.2.1", "/ip6/::ffff:192.0.2.1/tcp/1": "192.0.2.1",
		"/ip6/2001:db8::1/tcp/1": "2001:db8::1", "/dns4/box.example.org/tcp/1": "invalid IP",
	} {
		if got := addrOf(ma.StringCast(addr)).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if addrOf(nil).IsValid() {
		t.Error("an address of no connection")
	}
}

func TestRefusalsAreFew(t *testing.T) {
	t.Parallel()
	r := newHandshakeLog(slog.New(slog.DiscardHandler), true)
	now := time.Now()
	for i, c := range []struct {
		what string
		at   time.Duration
		want bool
	}{
		{"a", 0, true}, {"a", time.Minute, false}, {"b", time.Minute, true}, {"a", refusalEvery, true}, {"a", refusalEvery + 1, false},
	} {
		if got := r.due(c.what, now.Add(c.at)); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
	lines := len(r.logged)
	for i := range 10 * maxRefusals {
		if r.due(fmt.Sprint(i), now) {
			lines++
		}
	}
	if n := len(r.logged); n > maxRefusals || lines > maxRefusals {
		t.Errorf("%d addresses remembered, %d lines logged", n, lines)
	}
	if !r.due("later", now.Add(3*refusalEvery)) {
		t.Error("no line once the others are old")
	}
}

func TestRTT(t *testing.T) {
	t.Parallel()
	r := newRTTs(nil)
	r.add("a", time.Second) // no box
	r.connected("a")
	if r.of("a") != 0 || r.min("a") != 0 {
		t.Error("a figure without a sample")
	}
	for _, ms := range []time.Duration{80, 4, 20, 30} {
		if r.min("a") != 0 {
			t.Error("few samples are taken for sure")
		}
		r.add("a", ms*time.Millisecond)
	}
	if got, want := r.min("a"), 4*time.Millisecond; got != want {
		t.Errorf("least %v, want %v", got, want)
	}
	if got := r.of("a"); got < 50*time.Millisecond || got > 70*time.Millisecond {
		t.Errorf("smoothed %v", got)
	}
	for range rttSamples {
		r.add("a", 9*time.Millisecond)
	}
	if got, want := r.min("a"), 9*time.Millisecond; got != want {
		t.Errorf("least %v, want %v", got, want)
	}
	r.disconnected("a")
	if r.of("a") != 0 || len(r.known) != 0 {
		t.Error("a figure of a box that went")
	}
}

func TestGateFaults(t *testing.T) {
	t.Parallel()
	_, err := newGate([]string{"x", "y"}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), `"x"`) || !strings.Contains(err.Error(), `"y"`) {
		t.Errorf("not all faults named: %v", err)
	}
}
