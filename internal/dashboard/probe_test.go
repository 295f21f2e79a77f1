package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
		code   int
		want   string
	}{
		{"", nil, 200, "proxy\nboxes: 10.0.0.2:3142\n"},
		{"http://archive.example.org/debian/dists/stable/InRelease", nil, 200, "proxy\nboxes: 10.0.0.2:3142\n"},
		{"http://internal.example.org/debian/", nil, 200, "direct: \"host internal.example.org: 10.1.2.3 is a private address\"\nboxes: 10.0.0.2:3142\n"},
		{"http://archive.example.org/debian/", []api.Fault{{What: "disk", Why: "is full"}}, 200, "proxy\nboxes: 10.0.0.2:3142\n"},
		{"http://archive.example.org/debian/", []api.Fault{{What: "store", Why: "is gone", Fatal: true}}, 503, "direct: the box is not ready, see /readyz\n"},
	} {
		o := options(tt.faults...)
		o.Swarm = &peers{all: []api.Peer{{Addr: "/ip4/10.0.0.2/tcp/4001", Kind: "member", Path: "direct", Nearby: true}}}
		w := ask(o, http.MethodGet, "/probe?"+tt.query, "box.lan:3142")
		if w.Code != tt.code || w.Body.String() != tt.want {
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
	// What boxes tell of themselves counts for members, and the port for all.
	told := newPair()
	told.serves = map[string]netip.AddrPort{
		"a": netip.MustParseAddrPort("10.0.0.20:8080"), "b": netip.MustParseAddrPort("0.0.0.0:80"), "c": netip.MustParseAddrPort("192.0.2.1:8081"),
		"d": netip.MustParseAddrPort("127.0.0.1:3142"), "e": netip.MustParseAddrPort("169.254.169.254:80"),
	}
	q := options()
	q.Site = told
	named := &peers{}
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		p := box(fmt.Sprintf("/ip4/10.0.0.%d/tcp/4001", 2+i), map[bool]string{true: "local", false: "member"}[id == "c"], "direct", true, float64(i))
		p.ID = id
		named.all = append(named.all, p)
	}
	q.Swarm = named
	if got, want := New(q).others("10.0.0.1:3142"), []string{"10.0.0.20:8080", "10.0.0.3:80", "10.0.0.4:8081"}; !slices.Equal(got, want) {
		t.Errorf("clients are sent to %v, want %v", got, want)
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
	// The probe knows the second box from what another one said.
	probe := set()
	m.write(t, "var/cache/millpond-setup/boxes", next+"\n")
	if out, err := exec.CommandContext(t.Context(), probe, "http://archive.example.org/").Output(); err != nil || string(out) != second.URL+"\n" {
		t.Errorf("with a box that was learned: %v: %s, want %s", err, out, second.URL)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(asked, "http://archive.example.org/a@b/") || strings.Contains(strings.Join(asked, " "), "secret") {
		t.Errorf("the box was asked for %q", asked)
	}
}

// What a box says of others is kept if it is a list of addresses, and nothing else of it;
// nor is it written where a link leads.
func TestProbeLearnsBoxes(t *testing.T) {
	t.Parallel()
	var said atomic.Value
	box := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, said.Load()) }))
	defer box.Close()
	own := strings.TrimPrefix(box.URL, "http://")
	said.Store("proxy\n")
	m := newMachine(t, own)
	if out, err := m.run(t); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := filepath.Join(m.dir, "var/cache/millpond-setup")
	probe := func() {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), filepath.Join(m.dir, "usr/local/lib/millpond/apt-probe"), "http://archive.example.org/").CombinedOutput()
		if err != nil || string(out) != box.URL+"\n" {
			t.Errorf("after %q the probe says %q, %v", said.Load(), out, err)
		}
	}
	kept := func() string {
		b, err := os.ReadFile(filepath.Join(dir, "boxes"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(b)
	}
	probe() // of a version that names none
	if got := kept(); got != "" {
		t.Errorf("from a box that names none it learned %q", got)
	}
	trap := filepath.Join(m.dir, "trap")
	for _, tt := range []struct{ said, want string }{
		{"10.0.0.2:3142 [fd00::7]:80", "10.0.0.2:3142 [fd00::7]:80\n"},
		{own + " 10.0.0.2:3142 10.0.0.2:3142", "10.0.0.2:3142\n"},
		{"1.1.1.1:1 2.2.2.2:2 3.3.3.3:3 4.4.4.4:4 5.5.5.5:5", "1.1.1.1:1 2.2.2.2:2 3.3.3.3:3 4.4.4.4:4\n"},
		{"$(touch " + trap + ") `touch${IFS}" + trap + "` ;touch " + trap + "; /etc/* * -n x[$(touch${IFS}" + trap + ")]", "\n"},
		{"box.example.org:3142 10.0.0.2 10.0.0.256:80 10.0.0.2:0 10.0.0.2:123456 10.0.0.2:80/x a10.0.0.2:80 [::1%eth0]:80 [::1'\"]:80 10.0.0.3:80", "10.0.0.3:80\n"},
		{strings.Repeat("9", 5000) + " 10.0.0.2:3142", "\n"},
		{"10.0.0.2:3142\r", "\n"},
		{"\x00\x1b[2J 10.0.0.4:3142", "10.0.0.4:3142\n"},
		{"", "\n"},
	} {
		said.Store("proxy\nboxes: " + tt.said + "\n")
		probe()
		if got := kept(); got != tt.want {
			t.Errorf("of %.100q it keeps %q, want %q", tt.said, got, tt.want)
		}
	}
	if _, err := os.Stat(trap); !os.IsNotExist(err) {
		t.Errorf("what a box said was run: %v", err)
	}
	said.Store("proxy\nboxes: 10.0.0.2:3142\n")
	probe()
	elsewhere := t.TempDir()
	if err := os.Rename(dir, dir+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, dir); err != nil {
		t.Fatal(err)
	}
	probe()
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("by a link it wrote %v, %v", left, err)
	}
	if left, err := os.ReadDir(dir + ".real"); err != nil || len(left) != 1 {
		t.Errorf("there are files beside the list: %v, %v", left, err)
	}
}
