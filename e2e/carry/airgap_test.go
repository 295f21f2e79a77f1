package carry

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

// gap is a box without a way out, which runs in a network namespace that has no route but
// to its clients, and one that reaches the mirror, in another. Both run all the time.
type gap struct {
	*site
	inner, outer *box.Box
	client       *aptest.Client // of the inner box
}

// newGap makes networks n and n+1.
func newGap(t *testing.T, n int) *gap {
	inside, outside := box.NewNetwork(t, n), box.NewNetwork(t, n+1)
	innerHost, outerHost := inside.Host(), outside.Host()
	s := newSiteAt(t, outside.IP+":0")
	g := &gap{site: s, inner: box.StartIn(t, innerHost, s.settings()...), outer: box.StartIn(t, outerHost, s.settings("MILLPOND_INDEX_TTL=0s")...)}
	for host, reaches := range map[*box.Host]bool{innerHost: false, outerHost: true} {
		if err := host.Command("curl", "-sf", "--max-time", "10", "-o", "/dev/null", s.mirror.URL("/debian/dists/stable/InRelease")).Run(); (err == nil) != reaches {
			t.Fatalf("the mirror from %s: %v", host.IP, err)
		}
	}
	g.client = s.client(g.inner)
	return g
}

// asksInVain has the client ask the inner box for a suite, of which that holds nothing.
func (g *gap) asksInVain() {
	g.Helper()
	out, err := g.client.Apt(g.Context(), "update") // which ends well all the same
	if !strings.Contains(out, " 50") {
		g.Fatalf("a box that holds nothing and has no network served a suite: %v\n%s", err, out)
	}
	g.wanted("suite ")
}

// want has the inner box write its want-list.
func (g *gap) want() (file string) {
	g.Helper()
	file = filepath.Join(g.TempDir(), "want.txt")
	asked(g, g.inner, "want", file)
	return file
}

// wanted waits until the want-list has a text: what clients asked for in vain is noted a
// moment later.
func (g *gap) wanted(text string) {
	g.Helper()
	poll.Must(g, 30*time.Second, text+" is wanted", poll.That(func() bool {
		list, err := os.ReadFile(g.want())
		return err == nil && strings.Contains(string(list), "\n"+text)
	}))
}

// fill has the outer box fill a stick, with the network that it has.
func (g *gap) fill(list string) (stick, out string) {
	g.Helper()
	stick = filepath.Join(g.TempDir(), "stick")
	out = asked(g, g.outer, "fill", stick, list)
	g.Log(out)
	return stick, out
}

// carried brings to the inner box what it wants.
func (g *gap) carried() (stick, out string) {
	g.Helper()
	stick, out = g.fill(g.want())
	taken := asked(g, g.inner, "import", stick)
	g.Log(taken)
	return stick, out + taken
}

func TestAirGap(t *testing.T) {
	t.Parallel()
	g := newGap(t, 101)
	g.asksInVain()
	_, out := g.carried()
	wants(t, out, "/debian/dists/stable of ")
	g.client.MustApt("update")

	if _, err := g.client.Apt(t.Context(), "install", "user"); err == nil {
		t.Fatal("installed packages that are not held")
	}
	g.wanted("file ")
	g.carried()
	g.client.MustApt("install", "user")

	g.archive.Add(aptest.Package{Name: "hello", Version: "1.0-2", Arch: "amd64", Size: 30_000})
	g.publish(time.Minute)
	g.carried() // the new Release and what goes with it
	g.client.MustApt("update")
	_, out = g.carried() // clients use hello: its new version
	wants(t, out, "Written")
	if out := g.client.MustApt("upgrade"); !strings.Contains(out, "1 upgraded") {
		t.Errorf("upgrade: %s", out)
	}
}

func TestDamagedAndForgedStick(t *testing.T) {
	t.Parallel()
	g := newGap(t, 103)
	g.asksInVain()
	first, _ := g.carried()
	g.client.MustApt("update")
	if _, err := g.client.Apt(t.Context(), "install", "hello"); err == nil {
		t.Fatal("installed what is not held")
	}
	g.wanted("file ")
	g.archive.Add(aptest.Package{Name: "new", Version: "1"})
	g.publish(time.Minute)
	stick, _ := g.fill(g.want())

	// A package with other bytes, at the place of one that is listed.
	debs := find(t, stick, "hello_1.0-1_amd64.deb")
	if len(debs) != 1 {
		t.Fatalf("packages on the stick: %q", debs)
	}
	whole := damage(t, debs[0])
	// A Release that another key signed.
	releases := find(t, stick, "InRelease")
	good, err := os.ReadFile(releases[0])
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := bytes.Cut(good, []byte("\n\n"))
	text, _, _ = bytes.Cut(text, []byte("-----BEGIN PGP SIGNATURE"))
	replace(t, releases[0], aptest.Clearsign(text, time.Now(), aptest.NewKey("forger")))
	out := asked(t, g.inner, "import", stick)
	wants(t, out, "not the bytes that the signed index lists", "hello_1.0-1_amd64.deb", "a Release that is not taken", "Imported      0 files")
	g.unchanged()

	// The right Release with an index of other bytes: what clients have of the one in force
	// is missing.
	replace(t, releases[0], good)
	for _, name := range []string{"Packages", "Packages.xz", "Packages.gz"} {
		for _, index := range find(t, stick, "/"+name) {
			damage(t, index)
		}
	}
	out = asked(t, g.inner, "import", stick)
	wants(t, out, "a Release that is not taken", "is missing")
	g.unchanged()

	// The one before it, as if the stick were a new one.
	whole.restore(t)
	stick, _ = g.fill(g.want())
	asked(t, g.inner, "import", stick)
	out = asked(t, g.inner, "import", first)
	wants(t, out, "older than the held one")
	g.client.MustApt("update")
	g.client.MustApt("install", "hello")
	if out, err := g.client.Run(t.Context(), "apt-cache", "policy", "new"); err != nil || !strings.Contains(out, "Candidate: 1") {
		t.Errorf("an old stick set the suite back: %s, %v", out, err)
	}
}

func TestDamagedAndForgedList(t *testing.T) {
	t.Parallel()
	g := newGap(t, 105)
	g.asksInVain()
	list := g.want()
	good, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"the want-list ends in the middle": string(good[:bytes.LastIndex(good, []byte("end "))]),
		"no want-list":                     "hello",
		"line 4":                           strings.Replace(string(good), "\nsuite ", "\nerase ", 1),
	} {
		replace(t, list, []byte(text))
		if out, err := g.outer.Command(t.Context(), "fill", t.TempDir(), list); err == nil || !strings.Contains(out, name) {
			t.Errorf("want %q, got %v:\n%s", name, err, out)
		}
	}
	// A file and a suite that nobody has, at an address that the box must not ask.
	host, _, err := net.SplitHostPort(g.mirror.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	inside := httptest.NewUnstartedServer(http.NotFoundHandler())
	inside.Listener.Close()
	if inside.Listener, err = net.Listen("tcp", host+":0"); err != nil {
		t.Fatal(err)
	}
	inside.Config.ConnState = func(net.Conn, http.ConnState) { connections.Add(1) }
	inside.Start()
	t.Cleanup(inside.Close)
	at := inside.Listener.Addr().String()
	forged := strings.Replace(string(good), "\nend 1\n", "\nfile "+strings.Repeat("ab", 32)+" 10 http://"+at+"/secret.deb\nsuite http://"+at+"/debian/dists/stable -\nend 3\n", 1)
	replace(t, list, []byte(forged))
	stick, out := g.fill(list)
	wants(t, out, "could not be fetched", "/secret.deb")
	if n := connections.Load(); n != 0 {
		t.Errorf("the outer box asked an address that it must not, %d times", n)
	}
	if found := find(t, stick, "InRelease"); len(found) != 1 {
		t.Errorf("of the suite that there is, and none else: %q", found)
	}
}

// unchanged checks that the inner box has the generation that it had.
func (g *gap) unchanged() {
	g.Helper()
	g.client.MustApt("update")
	if out, err := g.client.Run(g.Context(), "apt-cache", "policy", "new"); err != nil || strings.Contains(out, "Candidate: 1") {
		g.Errorf("the box took a Release from the stick: %s, %v", out, err)
	}
	if _, err := g.client.Apt(g.Context(), "install", "hello"); err == nil {
		g.Error("a damaged package was installed")
	}
}

// damaged is a file with a byte changed.
type damaged struct {
	name string
	data []byte
}

func damage(t testing.TB, name string) damaged {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Clone(data)
	wrong[len(wrong)/2] ^= 1
	replace(t, name, wrong)
	return damaged{name, data}
}

func (d damaged) restore(t testing.TB) { replace(t, d.name, d.data) }

// replace writes a new file in place of another one: that may be a link to what a box has.
func replace(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	write(t, name, data)
}
