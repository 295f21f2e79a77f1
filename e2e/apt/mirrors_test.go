package apt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// theArchive is the name of an archive that nothing answers at: its mirrors do.
const theArchive = "http://archive.example.org/debian"

// mirrored is an archive with several mirrors and a box that knows them.
type mirrored struct {
	key     *aptest.Key
	archive *aptest.Archive
	former  *aptest.Generation // one package less, and another version of one
	latest  *aptest.Generation
	mirrors []*aptest.Mirror
	files   map[string]aptest.File // packages, by name
	box     *box.Box
}

const (
	smallPackages = 8
	largePackage  = 1 << 20
)

func newMirrored(t *testing.T, mirrors int) *mirrored {
	t.Helper()
	m := &mirrored{key: aptest.NewKey("archive"), files: make(map[string]aptest.File)}
	m.archive = aptest.NewArchive(m.key)
	for i := range smallPackages {
		name := fmt.Sprintf("small%d", i)
		m.files[name] = m.archive.Add(aptest.Package{Name: name, Version: "1.0-1", Size: 100 << 10})
	}
	m.files["large"] = m.archive.Add(aptest.Package{Name: "large", Version: "1.0-1", Size: largePackage})
	m.former = m.archive.Publish(time.Now().Add(-2 * time.Hour))
	m.files["new"] = m.archive.Add(aptest.Package{Name: "new", Version: "1.0-1", Size: 100})
	m.latest = m.archive.Publish(time.Now().Add(-time.Hour))
	var urls []string
	for i := range mirrors {
		mirror := aptest.NewMirror(t, aptest.MirrorOptions{Listen: fmt.Sprintf("127.0.0.%d:0", i+11)})
		mirror.Publish("/debian", m.latest)
		m.mirrors = append(m.mirrors, mirror)
		urls = append(urls, mirror.URL("/debian"))
	}
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), m.key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	m.box = box.Start(t, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_INDEX_TTL=0s", "MILLPOND_SWARM=false",
		"MILLPOND_ONLY_ARCHIVES=archive.example.org", "MILLPOND_MIRRORS="+theArchive+"="+strings.Join(urls, "|"))
	return m
}

// client is a fresh apt, through the box, or directly at a mirror.
func (m *mirrored) client(t *testing.T, direct *aptest.Mirror) *aptest.Client {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(m.key)
	c.Proxy(m.box.URL)
	c.Sources("deb " + theArchive + " stable main")
	if direct != nil {
		c.Proxy("DIRECT")
		c.Sources(direct.Source("/debian", "stable", "main"))
	}
	return c
}

// troubles are lines in which apt says that something went wrong.
var troubles = regexp.MustCompile(`(?m)^(Err|Ign|W:|E:).*`)

// use updates and downloads packages, of which apt must have nothing to say, and
// compares them.
func (m *mirrored) use(t *testing.T, c *aptest.Client, packages ...string) {
	t.Helper()
	begun := time.Now()
	out := c.MustApt("update") + c.MustApt(append([]string{"install", "--download-only"}, packages...)...)
	for _, line := range troubles.FindAllString(out, -1) {
		t.Errorf("apt says: %s", line)
	}
	for _, name := range packages {
		got, err := c.Downloaded(filepath.Base(m.files[name].Path))
		if err != nil || !bytes.Equal(got, m.files[name].Data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	t.Logf("through the box: %.1f s, %d requests", time.Since(begun).Seconds(), m.requests("*"))
}

// directly does the same without the box, for two seconds at most, and logs how
// that ends.
func (m *mirrored) directly(t *testing.T, mirror *aptest.Mirror, packages ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c, begun := m.client(t, mirror), time.Now()
	_, err := c.Apt(ctx, "update")
	if err == nil {
		_, err = c.Apt(ctx, append([]string{"install", "--download-only"}, packages...)...)
	}
	if err == nil {
		t.Error("apt gets everything from the bad mirror alone")
	}
	t.Logf("direct: %s after %.1f s", exitStatus(err), time.Since(begun).Seconds())
}

// requests counts the requests for paths that match, by mirror.
func (m *mirrored) requests(pattern string) (all []int) {
	for _, mirror := range m.mirrors {
		all = append(all, mirror.Requests(pattern))
	}
	return all
}

// wantCounted fails the test unless the box counts all bytes as the archive's, and
// requests as those of the mirrors that got them.
func (m *mirrored) wantCounted(t *testing.T) {
	t.Helper()
	for _, host := range list[api.Account](t, m.box, "/api/v1/hosts").Items {
		own := host.Name == "archive.example.org"
		if own != (host.MirrorBytes > 0 && host.ClientBytes > 0) || own && host.MirrorRequests > 0 {
			t.Errorf("counted as of %s: %+v", host.Name, host.Counts)
		}
	}
}

// measured lets the box find out that the first mirror is the fastest.
func (m *mirrored) measured(t *testing.T) {
	t.Helper()
	for _, mirror := range m.mirrors[1:] {
		defer mirror.Inject("*", aptest.Slow(1e6)).Release()
	}
	m.use(t, m.client(t, nil), "small0", "small1", "small2", "small3")
	if got := m.requests("*"); slices.Contains(got, 0) {
		t.Errorf("%d requests: a mirror was not measured", got)
	}
	for _, mirror := range m.mirrors {
		mirror.ResetLog()
	}
}

// One of the mirrors of an archive fails in some way: apt has nothing to say of
// it, gets everything, and the box counts it all as the archive's.
func TestMirrorsOfOneArchive(t *testing.T) {
	t.Parallel()
	others := []string{"small4", "small5", "small6", "small7", "large", "new"}
	for _, c := range []struct {
		name    string
		mirrors int
		fault   func(m *mirrored, first *aptest.Mirror)
		fresh   bool // the box has seen none of the mirrors
		lags    bool // alone, it has all but the new package
		most    int  // requests of the first mirror from then on; 0 is any number
		check   func(t *testing.T, m *mirrored)
	}{
		{name: "is down", mirrors: 3, fault: func(_ *mirrored, first *aptest.Mirror) { first.Down() }},
		{name: "dies in packages", mirrors: 2, fault: func(_ *mirrored, first *aptest.Mirror) {
			first.Inject("*.deb", aptest.Truncate(50<<10))
		}, check: func(t *testing.T, m *mirrored) {
			if sent, most := m.mirrors[0].BytesSent("*/large_*")+m.mirrors[1].BytesSent("*/large_*"), int64(len(m.files["large"].Data)); sent > most {
				t.Errorf("the mirrors sent %d bytes for %d", sent, most)
			}
		}},
		{name: "dies in Release files", mirrors: 2, fresh: true, fault: func(_ *mirrored, first *aptest.Mirror) {
			first.Inject("*InRelease", aptest.Truncate(200))
		}},
		{name: "is silent", mirrors: 2, most: 1, fault: func(_ *mirrored, first *aptest.Mirror) { first.Inject("*", aptest.Hold()) }},
		{name: "lags by a generation", mirrors: 3, lags: true, fault: func(m *mirrored, first *aptest.Mirror) {
			first.Publish("/debian", m.former)
			first.Delete("/debian/" + m.files["new"].Path)
		}, check: func(t *testing.T, m *mirrored) {
			if got := m.requests("*InRelease"); got[0] != 2 || got[1] == 0 || got[2] != 0 {
				t.Errorf("%d requests for the Release, want the lagging mirror asked, once more past caches, and then the next one", got)
			}
		}},
		{name: "lacks indices", mirrors: 2, fresh: true, fault: func(_ *mirrored, first *aptest.Mirror) {
			first.Inject("*/binary-*", aptest.Status(404))
		}},
		{name: "sends wrong packages", mirrors: 2, fresh: true, fault: func(_ *mirrored, first *aptest.Mirror) {
			first.Inject("*/small*", aptest.Corrupt(100, 8))
		}},
		{name: "sends a page for everything", mirrors: 3, fresh: true, most: 1, fault: func(_ *mirrored, first *aptest.Mirror) {
			first.Inject("*", aptest.OtherBody([]byte("<html>Log in")), aptest.NoValidators())
		}},
		{name: "sends a forged Release", mirrors: 2, fresh: true, fault: func(m *mirrored, first *aptest.Mirror) {
			forged := aptest.NewArchive(aptest.NewKey("forger"))
			forged.Add(aptest.Package{Name: "large", Version: "9", Size: 10})
			first.Publish("/debian", forged.Publish(time.Now()))
		}},
		{name: "is down while the next one lies", mirrors: 3, fault: func(m *mirrored, first *aptest.Mirror) {
			first.Down()
			m.mirrors[1].Inject("*InRelease", aptest.OtherBody([]byte("<html>Log in")), aptest.NoValidators())
			m.mirrors[1].Inject("*/small*", aptest.Corrupt(100, 8))
		}},
		{name: "trickles", mirrors: 2, fault: func(_ *mirrored, first *aptest.Mirror) {
			first.Inject("*/large_*", aptest.Slow(20e3))
		}, check: func(t *testing.T, m *mirrored) {
			if got := m.requests("*/large_*"); !slices.Equal(got, []int{1, 1}) {
				t.Errorf("%d requests for what the first one trickled", got)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMirrored(t, c.mirrors)
			if !c.fresh {
				m.measured(t)
			}
			c.fault(m, m.mirrors[0])
			if c.lags {
				m.directly(t, m.mirrors[0], "new")
			} else {
				m.directly(t, m.mirrors[0], others...)
			}
			for _, mirror := range m.mirrors {
				mirror.ResetLog()
			}
			m.use(t, m.client(t, nil), others...)
			if got := m.requests("*"); c.most > 0 && got[0] > c.most {
				t.Errorf("%d requests", got)
			}
			if c.check != nil {
				c.check(t, m)
			}
			m.wantCounted(t)
		})
	}
}
