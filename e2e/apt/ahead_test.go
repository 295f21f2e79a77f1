package apt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// kernel has the archive offer a version of a kernel, whose package has a new name each
// time, of one that depends on it and of others, and publishes it with that date.
func (s *site) kernel(name, version string, date time.Time) {
	for _, p := range []aptest.Package{
		{Name: "linux-image", Depends: name + " (= " + version + ")"},
		{Name: name, Size: 600_000, Depends: name + "-common"},
		{Name: name + "-common", Size: 1000},
		{Name: name + "-doc", Size: 1000},
		{Name: "tool", Size: 100_000},
		{Name: "unused", Size: 1000},
	} {
		p.Version = version
		s.archive.Remove(p.Name)
		s.archive.Add(p)
	}
	s.mirror.Publish("/debian", s.archive.Publish(date))
}

// wantInstalled fails the test unless a client has installed the packages in that version.
func wantInstalled(t *testing.T, c *aptest.Client, version string, names ...string) {
	t.Helper()
	status, err := os.ReadFile(filepath.Join(c.Root, "var/lib/dpkg/status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		found := false
		for stanza := range strings.SplitSeq(string(status), "\n\n") {
			found = found || strings.HasPrefix(stanza, "Package: "+name+"\n") && strings.Contains(stanza, "\nVersion: "+version+"\n")
		}
		if !found {
			t.Errorf("%s %s is not installed", name, version)
		}
	}
}

// An update is there before any client asks for it, a kernel with a new name included, and
// within the budget: then all clients upgrade while the mirror is away. Nobody tells the
// box anything.
func TestUpdateWithoutMirror(t *testing.T) {
	s := &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key)
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	first := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	s.archive.Add(aptest.Package{Name: "other", Version: "1.0-1", Size: 1000})
	s.kernel("linux-image-6.1.0-1", "6.1-1", first)
	s.box = box.Start(t, s.settings(t, "MILLPOND_INDEX_TTL=1h", "MILLPOND_PREFETCH=2MB",
		"MILLPOND_FOLLOW="+s.mirror.URL("/debian")+" stable main amd64")...)
	s.stable(t, first)
	clients := []*aptest.Client{s.client(t), s.client(t)}
	for _, c := range clients {
		s.updateWell(t, c)
		c.MustApt("install", "-y", "linux-image", "tool")
		wantInstalled(t, c, "6.1-1", "linux-image", "linux-image-6.1.0-1", "tool")
	}

	second := first.Add(time.Hour)
	s.kernel("linux-image-6.1.0-2", "6.1-2", second)
	s.box.Stop()
	s.box.Run() // it asks soon after a start
	s.stable(t, second)
	var p api.Prefetch
	s.box.Until("the update is fetched", func() bool {
		p = s.account(t)
		return !p.Running && p.Files > 0
	})
	if !p.Automatic || p.FilesDone != 4 || p.Error != "" || p.Budget.Spent != p.BytesDone || p.Budget.Spent > 2_000_000 {
		t.Errorf("the prefetch: %+v", p)
	}
	for _, name := range []string{"*unused*", "*-doc*"} {
		if n := s.mirror.Requests(name); n != 0 {
			t.Errorf("%s, which nobody uses, was asked for %d times", name, n)
		}
	}

	s.mirror.ResetLog()
	s.mirror.Down()
	for _, c := range clients {
		s.updateWell(t, c)
		c.MustApt("dist-upgrade", "-y")
		wantInstalled(t, c, "6.1-2", "linux-image", "linux-image-6.1.0-2", "linux-image-6.1.0-2-common", "tool")
	}
	if n := s.mirror.Requests("*"); n != 0 {
		t.Errorf("the mirror got %d requests: %v", n, s.mirror.Log())
	}
	if a := s.account(t).Total; a.UsedFiles != 4 || a.UsedBytes != p.BytesDone || a.WastedBytes != 0 {
		t.Errorf("the account after the upgrades: %+v", a)
	}
}
