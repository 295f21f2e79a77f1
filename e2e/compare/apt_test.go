package compare

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/machine"
	"millpond/internal/aptest"
)

// wanted pulls in some 475 packages of some 260 MB with what it depends on, but not with what
// it recommends.
const wanted = "mate-desktop-environment"

// distribution is what apt's commands are run with.
type distribution struct {
	machine.Mirror
	wanted   []string
	least    int      // packages that wanted pulls in
	settings []string // of a box before it
}

// realDistribution is that of this machine's own apt.
func realDistribution(t *testing.T) distribution {
	t.Helper()
	m, err := machine.Configured()
	if err != nil {
		t.Fatal(err)
	}
	return distribution{m, []string{wanted}, 400, []string{"MILLPOND_ALLOW_UPSTREAMS=" + m.Host()}}
}

// smallDistribution is one of this test's own.
func smallDistribution(t *testing.T) distribution {
	t.Helper()
	key, keys := aptest.NewKey("archive"), t.TempDir()
	d := distribution{least: 12}
	archive := aptest.NewArchive(key)
	for i := range d.least {
		name := fmt.Sprint("package", i)
		d.wanted = append(d.wanted, name)
		archive.Add(aptest.Package{Name: name, Version: "1.0-1", Size: 10_000 << (i % 6)})
	}
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{Listen: freeAddr(t)})
	mirror.Publish("/debian", archive.Publish(time.Now().Add(-time.Hour)))
	d.Mirror = machine.Mirror{URI: mirror.URL("/debian"), Suite: "stable", Keyring: filepath.Join(keys, "archive.gpg")}
	write(t, d.Keyring, string(key.Public()))
	d.settings = []string{"MILLPOND_KEYRING_DIR=" + keys, "MILLPOND_ALLOW_UPSTREAMS=" + mirror.Addr()}
	return d
}

// aptWorks has the real apt update and download packages through each subject twice, the
// first time with an empty cache.
func aptWorks(t *testing.T, r *results) {
	d := smallDistribution
	if !r.short {
		d = realDistribution
	}
	w := aptWork{t: t, r: r, d: d(t)}
	w.turn(nil) // not counted: what is before the mirror warms up
	starts := []func(*testing.T) subject{
		nil,
		func(t *testing.T) subject { return startMillpond(t, w.d.settings...) },
		func(t *testing.T) subject { return startNginx(t, w.d.Host()) },
		func(t *testing.T) subject { return startACNG(t) },
		func(t *testing.T) subject { return startSquid(t, w.server()) },
	}
	for range r.rounds {
		for _, start := range starts {
			if start == nil {
				w.note(direct, w.turn(nil), "cold")
				continue
			}
			t.Run("subject", func(t *testing.T) { w.subject(start(t)) }) // ends it
		}
	}
	r.describe(w.name("update, cold"), "The real apt, with a root of its own, updates and downloads "+strings.Join(w.d.wanted, ", ")+
		" with what it depends on, from a mirror of this machine's own apt: first with an empty cache, then with a full one.")
	r.expect(target{work: w.name("update, cold"), measure: "seconds", against: direct, limit: 1.0, what: "time of direct"})
	r.expect(target{work: w.name("download, cold"), measure: "seconds", against: direct, limit: 0.9, what: "time of direct"})
	r.expect(target{work: w.name("download, warm"), measure: "seconds", against: best, limit: 0.95, what: "time of " + best})
	r.expect(target{work: w.name("all of it"), measure: "cpu s", limit: 2.5, what: "seconds of CPU time"})
}

// aptWork is the work while it runs.
type aptWork struct {
	t *testing.T
	r *results
	d distribution
}

func (w *aptWork) name(part string) string { return "apt: " + part }

// server is the mirror's host and port.
func (w *aptWork) server() string {
	if _, _, err := net.SplitHostPort(w.d.Host()); err == nil {
		return w.d.Host()
	}
	return net.JoinHostPort(w.d.Host(), "80")
}

// subject notes what apt's commands take through a subject that holds nothing.
func (w *aptWork) subject(s subject) {
	used, err := cost(s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.note(s.name, w.turn(&s), "cold")
	w.note(s.name, w.turn(&s), "warm")
	f := figures{"MB": float64(residentTree(w.t, s.pid()).all) / 1e6}
	if err := used(f); err != nil {
		w.t.Fatal(err)
	}
	w.r.note(w.name("all of it"), s.name, f)
}

// aptTurn is what apt's two commands took.
type aptTurn struct{ update, download time.Duration }

func (w *aptWork) note(subject string, took aptTurn, state string) {
	w.r.note(w.name("update, "+state), subject, figures{"seconds": took.update.Seconds()})
	w.r.note(w.name("download, "+state), subject, figures{"seconds": took.download.Seconds()})
	w.t.Logf("%s, %s: update %v, download %v, load %s", subject, state, took.update, took.download, load(w.t))
}

// turn runs a fresh apt: through the box and apt-cacher-ng as proxies, and with the others
// named as the mirror. The mirror's name is left out of what is printed.
func (w *aptWork) turn(s *subject) (took aptTurn) {
	client := aptest.NewClient(w.t)
	defer client.Clean()
	source := w.d.Mirror
	switch {
	case s == nil:
		client.Proxy("DIRECT")
	case s.name == millpond || s.name == "apt-cacher-ng":
		client.Proxy(s.url)
	default:
		client.Proxy("DIRECT")
		source.URI = s.of(w.d.Host()) + strings.TrimPrefix(source.URI, "http://"+w.d.Host())
	}
	client.Sources(source.Source("deb"))
	apt := func(args ...string) time.Duration {
		begun := time.Now()
		if _, err := client.Apt(w.t.Context(), args...); err != nil {
			w.t.Fatal(strings.ReplaceAll(err.Error(), w.d.Host(), "mirror.example.net"))
		}
		return time.Since(begun)
	}
	took.update = apt("update", "--error-on=any")
	took.download = apt(append([]string{"install", "--download-only", "--no-install-recommends"}, w.d.wanted...)...)
	debs, err := filepath.Glob(filepath.Join(client.Root, "var/cache/apt/archives/*.deb"))
	if err != nil || len(debs) < w.d.least {
		w.t.Fatalf("%d packages, %v", len(debs), err)
	}
	return took
}
