package apt

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// Offline, update and install work for everything that is held, sources included, and
// the mirror, which has something newer, is asked for nothing.
func TestOffline(t *testing.T) {
	t.Parallel()
	s := newSite(t, "MILLPOND_SWARM=false")
	everything(t, s.client(t))
	s.box.Stop()
	s.archive.Add(aptest.Package{Name: "newer", Version: "1.0-1"})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(time.Second)))
	before := s.mirror.Requests("*")
	s.box = box.Start(t, s.settings(t, "MILLPOND_SWARM=false", "MILLPOND_OFFLINE=true", "MILLPOND_DATA_DIR="+s.box.Data)...)
	c := s.client(t)
	everything(t, c)
	if out, err := c.Apt(t.Context(), "install", "--download-only", "newer"); err == nil {
		t.Errorf("a package that the box does not hold was installed:\n%s", out)
	}
	if n := s.mirror.Requests("*") - before; n != 0 {
		t.Errorf("an offline box sent %d requests to the mirror", n)
	}
}

// ask decodes an answer of the box's API.
func ask[T any](t *testing.T, b *box.Box, path string) (v T) {
	t.Helper()
	if err := json.Unmarshal(b.Get("/api/v1/"+path), &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// A check of all that a box holds goes on after the box is killed, and what is damaged is
// held again at its end.
func TestVerifyAfterAKill(t *testing.T) {
	t.Parallel()
	s := newSite(t, "MILLPOND_SWARM=false", "MILLPOND_ADMIN_TOKEN="+adminToken)
	var debs []aptest.File
	for _, name := range []string{"large", "larger", "largest"} {
		debs = append(debs, s.archive.Add(aptest.Package{Name: name, Version: "1.0-1", Size: 20 << 20}))
	}
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(time.Second)))
	c := s.client(t)
	c.MustApt("update")
	c.MustApt("install", "--download-only", "large", "larger", "largest")
	for _, deb := range debs {
		s.rot(t, deb.Data)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.box.URL+"/api/v1/verify", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	s.box.Kill()
	s.box.Run()
	s.box.Until("the check has ended", func() bool {
		v := ask[api.Verify](t, s.box, "verify")
		return !v.Running && !v.Ended.IsZero()
	})
	for _, deb := range debs {
		name := digest.Of(deb.Data).String()
		s.box.Until(name+" is held again", func() bool {
			content, err := os.ReadFile(filepath.Join(s.box.Data, "blobs", name[:2], name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			return digest.Of(content).String() == name
		})
	}
	if out, err := s.box.Command(t.Context(), "verify"); err != nil || !strings.Contains(out, "None was damaged.") {
		t.Errorf("the next check: %v\n%s", err, out)
	}
}

// The disk of a box is lost. Another machine gets its backup, made while it served, and is
// that box for the others and for its clients, with its figures.
func TestRestoreElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "MILLPOND_ADMIN_TOKEN="+adminToken, "MILLPOND_RINGS=early; late after=early delay=3d")
	everything(t, s.client(t))
	s.box.Until("the figures stand still", func() bool {
		before := s.box.Summary()
		return before.Requests > 0 && before.Downloads == 0 && before.ClientBytes == s.box.Summary().ClientBytes
	})
	file := filepath.Join(t.TempDir(), "backup.tar")
	if out, err := s.box.Command(t.Context(), "backup", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	identity, figures, rings := ask[api.Identity](t, s.box, "peer"), s.box.Summary(), ask[api.RingList](t, s.box, "rings")
	s.box.Kill()
	if err := os.RemoveAll(s.box.Data); err != nil {
		t.Fatal(err)
	}
	if out, err := s.box.Command(t.Context(), "restore", file); err != nil || !strings.Contains(out, "never start the two") || strings.Contains(out, adminToken) {
		t.Fatalf("%v\n%s", err, out)
	}
	s.box.Run()
	if got := ask[api.Identity](t, s.box, "peer"); got.ID != identity.ID {
		t.Errorf("the identity was %s and is %s", identity.ID, got.ID)
	}
	got := s.box.Summary()
	if got.ClientBytes != figures.ClientBytes || got.MirrorBytes != figures.MirrorBytes || got.Requests != figures.Requests || !got.Since.Equal(figures.Since) {
		t.Errorf("the figures were %+v and are %+v", figures, got)
	}
	if now := ask[api.RingList](t, s.box, "rings"); len(now.Rings) != len(rings.Rings) || now.Rings[1].Name != rings.Rings[1].Name {
		t.Errorf("the rings were %+v and are %+v", rings, now)
	}
	if ready := string(s.box.Get("/readyz")); strings.Contains(ready, "database") {
		t.Errorf("the restored box has something to say of its database: %s", ready)
	}
	everything(t, s.client(t))
}
