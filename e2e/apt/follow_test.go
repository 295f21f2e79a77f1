package apt

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// stable waits until the box holds all indices of the generation of that date, and
// returns what it says of the followed suite.
func (s *site) stable(t *testing.T, date time.Time) (row api.FollowedSuite) {
	t.Helper()
	err := poll.Until(t.Context(), time.Minute, "the box has the generation", func() error {
		rows := list[api.FollowedSuite](t, s.box, "/api/v1/follow").Items
		if len(rows) != 1 {
			return fmt.Errorf("%d suites are followed", len(rows))
		}
		row = rows[0]
		if row.Date == nil || row.Date.Unix() != date.Unix() || row.IndicesHeld < row.IndicesTotal || row.IndicesTotal == 0 {
			return fmt.Errorf("it has %+v", row)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v; its log:\n%s", err, s.box.Log())
	}
	return row
}

// next publishes a generation of that date with the packages in another version.
func (s *site) next(version string, date time.Time) {
	for i := range packages {
		s.archive.Add(aptest.Package{Name: fmt.Sprintf("pkg%02d", i), Version: version, Size: 1000 << (i % 12)})
	}
	s.mirror.Publish("/debian", s.archive.Publish(date))
}

// updateWell updates a client, of which apt must have nothing to say.
func (s *site) updateWell(t *testing.T, c *aptest.Client) {
	t.Helper()
	out := c.MustApt("update")
	for _, line := range troubles.FindAllString(out, -1) {
		t.Errorf("apt says: %s", line)
	}
}

// wantVersion has a client download a package, and compares its version.
func (s *site) wantVersion(t *testing.T, c *aptest.Client, version string) {
	t.Helper()
	c.MustApt("install", "--download-only", "pkg01")
	if _, err := c.Downloaded(path.Base("pkg01_" + version + "_all.deb")); err != nil {
		t.Errorf("apt did not get pkg01 %s: %v", version, err)
	}
}

// A suite of MILLPOND_FOLLOW is there before its first client, and its next generation
// before that client asks for it: neither update needs the mirror.
func TestFollowedSuite(t *testing.T) {
	for name, suite := range map[string]aptest.Suite{
		"like Debian's": {},
		"packages of all architectures apart": {EditRelease: func(text string) string {
			return strings.ReplaceAll(text, "No-Support-for-Architecture-all: Packages\n", "")
		}},
		"without InRelease": {NoInRelease: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			followedSuite(t, suite)
		})
	}
}

func followedSuite(t *testing.T, suite aptest.Suite) {
	s := &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key, suite)
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	s.archive.AddSource(aptest.Source{Name: "pkg00", Version: "1.0-1"})
	s.archive.Add(aptest.Package{Name: "other", Version: "1.0-1", Arch: "amd64", Size: 1000})
	first := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	s.next("1.0-1", first)
	s.box = box.Start(t, s.settings(t, "MILLPOND_INDEX_TTL=1h",
		"MILLPOND_FOLLOW="+s.mirror.URL("/debian")+" stable main amd64,source")...)
	row := s.stable(t, first)
	if row.Why != "setting" || row.Depth != "used" || row.Name != "stable" || row.Used != nil || row.Checked == nil || row.Fault != "" {
		t.Errorf("the followed suite is %+v", row)
	}
	update := func(c *aptest.Client) {
		t.Helper()
		if suite.NoInRelease {
			c.MustApt("update", "--error-on=any") // it says that it does without
			return
		}
		s.updateWell(t, c)
	}
	s.mirror.ResetLog()
	c := s.client(t)
	update(c)
	// Translations are not fetched before clients ask for them.
	if n := s.mirror.Requests("*") - s.mirror.Requests("*/i18n/*"); n != 0 {
		t.Errorf("the first client's update took %d requests to the mirror: %v", n, s.mirror.Log())
	}
	s.wantVersion(t, c, "1.0-1")

	second := first.Add(time.Hour)
	s.next("1.0-2", second)
	s.box.Stop()
	s.box.Run() // it asks soon after a start
	s.stable(t, second)
	s.mirror.ResetLog()
	update(c)
	n := s.mirror.Requests("*")
	if suite.NoInRelease { // a client asks for what is not there, which another process was told
		n -= s.mirror.Requests("*/InRelease")
	}
	if n != 0 {
		t.Errorf("the update took %d requests to the mirror: %v", n, s.mirror.Log())
	}
	s.wantVersion(t, c, "1.0-2")
}

// While the new indices of a suite that clients use come slowly, a client has the
// generation before, complete and without waiting, and then the new one from the box.
func TestFollowedSuiteIsSlowAtItsMirror(t *testing.T) {
	s := &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key)
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	s.archive.AddSource(aptest.Source{Name: "pkg00", Version: "1.0-1"})
	first := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	s.next("1.0-1", first)
	s.box = box.Start(t, s.settings(t, "MILLPOND_INDEX_TTL=0s")...)
	begun := time.Now()
	c := s.client(t)
	s.updateWell(t, c)
	usual := time.Since(begun)
	s.wantVersion(t, c, "1.0-1")
	if row := s.stable(t, first); row.Why != "clients" || row.Used == nil {
		t.Errorf("the followed suite is %+v", row)
	}

	second := first.Add(time.Hour)
	s.next("1.0-2", second)
	slow := s.mirror.Inject("*/main/*", aptest.Stall(10))
	for i := range 3 {
		c := s.client(t)
		begun := time.Now()
		s.updateWell(t, c)
		// The first one gives the indices a second to come.
		if took := time.Since(begun); took > 2*usual+5*time.Second {
			t.Errorf("client %d waited for %v; with a fast mirror, %v", i, took, usual)
		}
		s.wantVersion(t, c, "1.0-1")
	}
	if slow.Hits() == 0 {
		t.Fatal("the mirror was not asked for the new indices")
	}
	slow.Release()
	s.stable(t, second)
	s.mirror.ResetLog()
	s.updateWell(t, c)
	if n := s.mirror.Requests("*/main/*"); n != 0 {
		t.Errorf("the update took %d requests for indices: %v", n, s.mirror.Log())
	}
	s.wantVersion(t, c, "1.0-2")
}
