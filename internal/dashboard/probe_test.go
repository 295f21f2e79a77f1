package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/api"
)

// Takes refuses one host.
func (several) Takes(_ context.Context, uri string) error {
	if strings.Contains(uri, "//internal.example.org/") {
		return errors.New("host internal.example.org: 10.1.2.3 is a private address")
	}
	return nil
}

func TestProbe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		query  string
		faults []api.Fault
		want   string
	}{
		{"", nil, "proxy\n"},
		{"http://archive.example.org/debian/dists/stable/InRelease", nil, "proxy\n"},
		{"http://internal.example.org/debian/", nil, "direct: \"host internal.example.org: 10.1.2.3 is a private address\"\n"},
		{"http://archive.example.org/debian/", []api.Fault{{What: "disk", Why: "is full"}}, "proxy\n"},
		{"http://archive.example.org/debian/", []api.Fault{{What: "store", Why: "is gone", Fatal: true}}, "direct: the box is not ready, see /readyz\n"},
	} {
		w := ask(options(tt.faults...), http.MethodGet, "/probe?"+tt.query, "box.lan:3142")
		if w.Code != http.StatusOK || w.Body.String() != tt.want {
			t.Errorf("%q with %v: %d: %s, want %s", tt.query, tt.faults, w.Code, w.Body, tt.want)
		}
	}
}

// peers are a swarm of these.
type peers struct {
	neighbour
	all []api.Peer
}

func (p *peers) Peers() []api.Peer { return p.all }

func TestSetupNamesOtherBoxes(t *testing.T) {
	t.Parallel()
	box := func(addr, kind, path string, nearby bool, rtt float64) api.Peer {
		return api.Peer{Addr: addr, Kind: kind, Path: path, Nearby: nearby, RTT: rtt}
	}
	s := &peers{all: []api.Peer{
		box("/ip4/10.0.0.3/tcp/4001", "local", "direct", true, 3),
		box("/ip4/10.0.0.2/udp/4001/quic-v1", "member", "direct", true, 1),
		box("/ip4/10.0.0.2/tcp/4001", "member", "direct", true, 2), // the same machine
		box("/ip4/10.0.0.4/tcp/4001", "public", "direct", true, 0.1),
		box("/ip4/10.0.0.5/tcp/4001", "member", "relayed", true, 0.1),
		box("/ip4/10.0.0.6/tcp/4001", "member", "direct", false, 0.1),
		box("/ip4/127.0.0.1/tcp/4001", "member", "direct", true, 0.1),
		box("/ip4/10.0.0.1/tcp/4001", "member", "direct", true, 0.1), // this box, by another identity
		box("/dns4/x';id;'/tcp/4001", "member", "direct", true, 0.1),
		box("/ip6zone/eth0/ip6/fe80::1/tcp/4001", "member", "direct", true, 0.1),
		box("/ip6/fe80::1%x';id;'/tcp/4001", "member", "direct", true, 0.1),
		box("/ip6/fd00::7/tcp/4001", "member", "direct", true, 4),
		box("", "member", "direct", true, 0.1),
	}}
	o := options()
	o.Swarm = s
	want := "\nothers='10.0.0.2:3142 10.0.0.3:3142 [fd00::7]:3142' #"
	if script := ask(o, http.MethodGet, "/setup.sh", "10.0.0.1:3142").Body.String(); !strings.Contains(script, want) {
		t.Errorf("no %q in\n%.600s", want, script)
	}
	for i := range 2 * maxOthers {
		s.all = append(s.all, box(fmt.Sprintf("/ip4/10.0.1.%d/tcp/4001", i), "member", "direct", true, 5))
	}
	if got := New(o).others("10.0.0.1:3142"); len(got) != maxOthers {
		t.Errorf("%d boxes are named: %v, want %d", len(got), got, maxOthers)
	}
}

// silentBox accepts connections and answers nothing.
func silentBox(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A machine whose box died uses the next one, or none, within two seconds.
func TestProbeFallsBack(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string // guarded by mu
	handler := New(options()).Handler()
	second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.RawQuery)
		mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	defer second.Close()
	next := strings.TrimPrefix(second.URL, "http://")
	m := newMachine(t, silentBox(t))
	set := func(others ...string) string {
		t.Helper()
		script := m
		script.script = strings.Replace(m.script, "others=''", "others='"+strings.Join(others, " ")+"'", 1)
		if out, err := script.run(t); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return filepath.Join(m.dir, "usr/local/lib/millpond/apt-probe")
	}
	for _, tt := range []struct {
		others    []string
		url, want string
	}{
		{[]string{silentBox(t), next}, "http://archive.example.org/debian/", second.URL},
		{[]string{silentBox(t), next}, "http://internal.example.org/debian/", "DIRECT"},
		{[]string{next}, "http://me:secret@archive.example.org/a@b/", second.URL},
		{[]string{silentBox(t), silentBox(t)}, "http://archive.example.org/debian/", "DIRECT"},
		{nil, "http://archive.example.org/debian/", "DIRECT"},
	} {
		probe := set(tt.others...)
		begun := time.Now()
		out, err := exec.CommandContext(t.Context(), probe, tt.url).Output()
		if err != nil || string(out) != tt.want+"\n" {
			t.Errorf("%s with %v: %v: %s, want %s", tt.url, tt.others, err, out, tt.want)
		}
		// Waits are 1.7 s at most; the rest is for starting programs on a busy machine.
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("%s with %v took %v", tt.url, tt.others, took)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(asked, "http://archive.example.org/a@b/") || strings.Contains(strings.Join(asked, " "), "secret") {
		t.Errorf("the box was asked for %q", asked)
	}
}
