package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// hardened is how the README runs a box.
var hardened = []string{"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}

// site is an archive with a mirror that containers reach.
type site struct {
	t       *testing.T
	mirror  *aptest.Mirror
	keys    string // a directory with the archive's key
	archive *aptest.Archive
	debs    map[string]aptest.File
}

// newSite makes an archive of packages with the given sizes.
func newSite(t *testing.T, sizes map[string]int) *site {
	t.Helper()
	key := aptest.NewKey("archive")
	s := &site{t: t, keys: t.TempDir(), archive: aptest.NewArchive(key), debs: map[string]aptest.File{}}
	// testing makes its directories for root alone.
	if err := errors.Join(os.Chmod(s.keys, 0o755), os.WriteFile(filepath.Join(s.keys, "archive.gpg"), key.Public(), 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, size := range sizes {
		s.debs[name] = s.archive.Add(aptest.Package{Name: name, Version: "1.0", Size: size})
	}
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{Listen: docker.Host + ":0"})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	return s
}

// run starts a box of an image with further options of docker run.
func (s *site) run(image string, options ...string) *instance {
	s.t.Helper()
	args := append([]string{"run", "-d", "-p", "3142", "-v", s.keys + ":/etc/apt/keyrings:ro", "-e", "MILLPOND_ALLOW_UPSTREAMS=" + s.mirror.Addr()}, hardened...)
	b := &instance{t: s.t, id: must(s.t, append(append(args, options...), image)...)}
	s.t.Cleanup(b.remove)
	b.awaitReady()
	return b
}

// url is that of a package on the mirror.
func (s *site) url(name string) string { return s.mirror.URL("/debian/" + s.debs[name].Path) }

// fetch gets packages through a box and compares their bytes.
func (s *site) fetch(b *instance, names ...string) {
	s.t.Helper()
	for _, name := range names {
		got, err := b.proxied(s.url(name))
		if err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got, s.debs[name].Data) {
			s.t.Fatalf("%s: %d bytes that are not the package's %d", name, len(got), len(s.debs[name].Data))
		}
	}
}

// learn makes the box know the archive, as apt-get update does.
func (s *site) learn(b *instance) {
	s.t.Helper()
	for _, name := range []string{"InRelease", "main/binary-amd64/Packages.xz"} {
		if _, err := b.proxied(s.mirror.URL("/debian/dists/stable/" + name)); err != nil {
			s.t.Fatal(err)
		}
	}
	b.until("the box knows the archive", func() bool { return b.summary().Known >= int64(len(s.debs)) })
}

// client starts a Debian container on a network, with this archive as its only
// source and box as its proxy ("" for none).
func (s *site) client(network, box string) *guest {
	s.t.Helper()
	g := newGuest(s.t, "--network", network, "-v", s.keys+":/keys:ro")
	g.sh(`rm -f /etc/apt/sources.list.d/*; printf '%s\n' "` +
		s.mirror.Source("/debian", "stable", "main") + `" | sed 's,^deb ,deb [signed-by=/keys/archive.gpg] ,' > /etc/apt/sources.list`)
	if box != "" {
		g.sh(`echo 'Acquire::http::Proxy "` + box + `";' > /etc/apt/apt.conf.d/01millpond`)
	}
	return g
}

// guest is a Debian container.
type guest struct {
	t  *testing.T
	id string
}

func newGuest(t *testing.T, options ...string) *guest {
	t.Helper()
	args := append([]string{"run", "-d", "--init"}, options...)
	g := &guest{t, must(t, append(args, "debian:bookworm-slim", "sleep", "infinity")...)}
	t.Cleanup(func() { must(t, "rm", "-fv", g.id) })
	return g
}

// sh runs a script in the container and returns what it prints.
func (g *guest) sh(script string) string {
	g.t.Helper()
	return must(g.t, "exec", "-e", "DEBIAN_FRONTEND=noninteractive", g.id, "sh", "-euc", "{ "+script+"; } 2>&1")
}

// instance is a box in a container.
type instance struct {
	t  *testing.T
	id string
}

// url is where the box is reached from this machine; it changes with each start.
func (b *instance) url() string {
	b.t.Helper()
	addr, _, _ := strings.Cut(must(b.t, "port", b.id, "3142/tcp"), "\n")
	_, port, _ := strings.Cut(addr, ":")
	return "http://" + docker.IP + ":" + port
}

func (b *instance) awaitReady() {
	b.t.Helper()
	poll.Must(b.t, time.Minute, "the box is ready", func() error {
		if must(b.t, "inspect", "-f", "{{.State.Running}}", b.id) != "true" {
			b.t.Fatalf("the box ended:\n%s", b.logs())
		}
		_, err := get(http.DefaultClient, b.url()+"/readyz")
		return err
	})
}

// proxied gets a URL with the box as HTTP proxy.
func (b *instance) proxied(of string) ([]byte, error) {
	proxy, err := url.Parse(b.url())
	if err != nil {
		return nil, err
	}
	return get(&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}, of)
}

// api reads a JSON answer of the box.
func (b *instance) api(path string, into any) {
	b.t.Helper()
	body, err := get(http.DefaultClient, b.url()+path)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *instance) summary() (s api.Summary) {
	b.t.Helper()
	b.api("/api/v1/summary", &s)
	return s
}

func (b *instance) peers() []api.Peer {
	b.t.Helper()
	var all api.PeerList
	b.api("/api/v1/peers", &all)
	return all.Peers
}

// identity is the box's name in the swarm.
func (b *instance) identity() string {
	b.t.Helper()
	var self api.Identity
	b.api("/api/v1/peer", &self)
	return self.ID
}

// metric reads a figure without labels from /metrics.
func (b *instance) metric(name string) (value float64) {
	b.t.Helper()
	body, err := get(http.DefaultClient, b.url()+"/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	_, rest, found := strings.Cut("\n"+string(body), "\n"+name+" ")
	if _, err := fmt.Sscan(rest, &value); err != nil || !found {
		b.t.Fatalf("metric %s: %v", name, err)
	}
	return value
}

// state is a field of docker inspect.
func (b *instance) state(format string) string {
	b.t.Helper()
	return must(b.t, "inspect", "-f", format, b.id)
}

// logs is what the box has printed.
func (b *instance) logs() string {
	cmd := docker.Command(context.Background(), "docker", "logs", b.id)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// start starts the box again after it was stopped or killed.
func (b *instance) start() {
	b.t.Helper()
	must(b.t, "start", b.id)
	b.awaitReady()
}

func (b *instance) remove() {
	if b.t.Failed() {
		b.t.Logf("log of the box:\n%s", b.logs())
	}
	must(b.t, "rm", "-fv", b.id)
}

// until polls until a condition holds, at most a minute.
func (b *instance) until(what string, holds func() bool) {
	b.t.Helper()
	poll.Must(b.t, time.Minute, what, poll.That(holds))
}

// volume makes a volume that is removed at the end of the test.
func volume(t *testing.T) string {
	t.Helper()
	name := must(t, "volume", "create")
	t.Cleanup(func() { must(t, "volume", "rm", name) })
	return name
}

// must runs docker. It is for cleanups too, when the test's context has ended.
func must(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	out, err := docker.Docker(ctx, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// get returns the body of a 200 answer.
func get(client *http.Client, of string) ([]byte, error) {
	resp, err := client.Get(of)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.300s", of, resp.Status, body)
	}
	return body, err
}
