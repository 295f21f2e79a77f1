package apt

import (
	"encoding/json"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// prefetchToken lets a test begin a prefetch.
const prefetchToken = "pond-weed-and-lilies"

// prefetch has the box fetch the update wave of all suites, and returns what it did.
func (s *site) prefetch(t *testing.T) (p api.Prefetch) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.box.URL+"/api/v1/prefetch", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+prefetchToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("beginning a prefetch: %s", resp.Status)
	}
	s.box.Until("the prefetch has ended", func() bool {
		p = s.account(t)
		return !p.Running
	})
	return p
}

// account is what the box says of its prefetches.
func (s *site) account(t *testing.T) (p api.Prefetch) {
	t.Helper()
	if err := json.Unmarshal(s.box.Get("/api/v1/prefetch"), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// holds reports whether the box has a file.
func (s *site) holds(f aptest.File) bool {
	name := digest.Of(f.Data).String()
	_, err := os.Stat(filepath.Join(s.box.Data, "blobs", name[:2], name))
	return err == nil
}

// release has the archive offer versions of packages in place of all others of theirs.
func (s *site) release(t *testing.T, version string, size int, names ...string) map[string]aptest.File {
	t.Helper()
	files := make(map[string]aptest.File)
	for _, name := range names {
		s.archive.Remove(name)
		files[name] = s.archive.Add(aptest.Package{Name: name, Version: version, Size: size})
	}
	// Releases are dated by the second, and one that was signed in the future is not
	// signed yet.
	last := time.Now().Unix()
	poll.Must(t, 5*time.Second, "it is the next second", poll.That(func() bool { return time.Now().Unix() > last }))
	s.mirror.Publish("/debian", s.archive.Publish(time.Now()))
	return files
}

// One client installs, the archive has an update, and the box fetches that before any
// client asks: then it costs the mirror nothing more. On a full cache the versions that
// are superseded make room, and nothing else goes.
func TestPrefetchedUpdate(t *testing.T) {
	for _, tt := range []struct {
		name, size string
		full       bool
	}{
		{"room", "20GB", false},
		{"full", "79MB", true}, // 77 MB are the database's
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, "MILLPOND_CACHE_SIZE="+tt.size, "MILLPOND_PREFETCH=0", "MILLPOND_ADMIN_TOKEN="+prefetchToken, "MILLPOND_INDEX_TTL=0s")
			used := []string{"tool", "libtool-data"}
			old := s.release(t, "1.0-1", 600_000, append(used, "unused", "other")...)
			c := s.client(t)
			c.MustApt("update")
			c.MustApt("install", "--download-only", "other", used[0], used[1])

			fresh := s.release(t, "1.0-2", 600_000, append(used, "unused")...)
			s.mirror.ResetLog()
			before := s.box.Summary()
			p := s.prefetch(t)
			after := s.box.Summary()
			sent := s.mirror.BytesSent("*")
			if taken := after.MirrorBytes - before.MirrorBytes; taken != sent {
				t.Errorf("the box counts %d bytes from the mirror, which sent %d", taken, sent)
			}
			var packages int64
			for _, name := range used {
				packages += int64(len(fresh[name].Data))
			}
			// Beside these it has sent the Release and indices, which do not count.
			if p.Error != "" || p.FilesFailed+p.NoRoom+p.NoBudget > 0 || p.Total.FromMirrors != p.BytesDone || p.Total.FromMirrors != packages || p.Total.FromMirrors > sent || p.Total.UsedFiles != 0 {
				t.Errorf("the mirror sent %d bytes: %+v", sent, p)
			}
			if n := s.mirror.Requests("*unused*"); n != 0 {
				t.Errorf("a package that no client has was asked for %d times", n)
			}
			for _, name := range used {
				if !s.holds(fresh[name]) || s.holds(old[name]) == tt.full {
					t.Errorf("%s: the new version is held: %v, the old one: %v", name, s.holds(fresh[name]), s.holds(old[name]))
				}
			}
			if !s.holds(old["other"]) {
				t.Error("a package that nothing supersedes was evicted")
			}

			s.mirror.ResetLog()
			second := s.client(t)
			second.MustApt("update")
			second.MustApt(append([]string{"install", "--download-only"}, used...)...)
			for _, name := range used {
				if got, err := second.Downloaded(path.Base(fresh[name].Path)); err != nil || digest.Of(got) != digest.Of(fresh[name].Data) {
					t.Errorf("%s: the client did not get the new version (%v)", name, err)
				}
			}
			for _, r := range s.mirror.Log() {
				if name := filepath.Base(r.Path); name != "InRelease" {
					t.Errorf("the second client made the box ask the mirror for %s", r.Path)
				}
			}
			if a := s.account(t).Total; a.UsedFiles < 2 || a.UsedBytes < packages || a.WastedBytes != 0 || a.FromMirrors != p.Total.FromMirrors {
				t.Errorf("after the second client: %+v", a)
			}
		})
	}
}
