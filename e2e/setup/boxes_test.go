package setup

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/e2e/internal/system"
	"millpond/internal/aptest"
)

// lost is what a machine may lose to a box that died; slack is for starting programs on a
// busy machine, of which the probe starts some.
const (
	lost  = 2 * time.Second
	slack = 4 * time.Second
)

// twoBoxSite is an archive, two boxes of a site, and a machine that setup.sh set up with
// the first of them, in a root of its own.
type twoBoxSite struct {
	*aptest.Client
	mirror *aptest.Mirror
	hosts  []*box.Host
	boxes  []*box.Box
}

func newTwoBoxSite(t *testing.T) *twoBoxSite {
	t.Helper()
	w := box.NewNetwork(t, 79)
	key := aptest.NewKey("setup")
	archive := aptest.NewArchive(key, aptest.Suite{})
	archive.Add(aptest.Package{Name: "tool", Version: "1.0-1", Size: 20_000})
	s := &twoBoxSite{Client: aptest.NewClient(t), mirror: aptest.NewMirror(t, aptest.MirrorOptions{Listen: w.IP + ":0"})}
	s.mirror.Publish("/debian", archive.Publish(time.Now()))
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"3142", "8142"} {
		h := w.Host()
		s.hosts = append(s.hosts, h)
		s.boxes = append(s.boxes, box.StartIn(t, h, "MILLPOND_LISTEN="+h.IP+":"+port, "MILLPOND_SWARM_LOCAL=true",
			"MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS="+s.mirror.Addr()))
	}
	s.Trust(key)
	s.Sources("deb " + s.mirror.URL("/debian") + " stable main")
	return s
}

// install runs the first box's script with the client's root in place of this machine's.
func (s *twoBoxSite) install(t *testing.T) {
	t.Helper()
	script := string(s.boxes[0].Get("/setup.sh"))
	for _, dir := range []string{"/etc/apt", "/usr/local/lib", "/var/cache"} {
		script = strings.ReplaceAll(script, dir, s.Root+dir)
	}
	saved := filepath.Join(t.TempDir(), "setup.sh")
	if err := os.WriteFile(saved, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := s.Run(t.Context(), "dash", saved); err != nil || !strings.Contains(said, "apt uses "+s.boxes[0].URL) {
		t.Fatalf("%s, %v", said, err)
	}
}

// probe asks the installed probe about the archive, and returns how long it took.
func (s *twoBoxSite) probe(t *testing.T) (said string, took time.Duration) {
	t.Helper()
	begun := time.Now()
	said, err := s.Run(t.Context(), filepath.Join(s.Root, "usr/local/lib/millpond/apt-probe"), s.mirror.URL("/debian/"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(said), time.Since(begun)
}

// update has apt update and install, and checks who asked the mirror: a box or apt itself.
func (s *twoBoxSite) update(t *testing.T, direct bool) {
	t.Helper()
	s.Clean()
	before := len(s.mirror.Log())
	s.MustApt("update", "--error-on=any")
	s.MustApt("install", "--download-only", "tool")
	own := slices.ContainsFunc(s.mirror.Log()[before:], func(r aptest.Request) bool { return !strings.HasPrefix(r.UserAgent, "millpond/") })
	if own != direct {
		t.Errorf("apt itself came to the mirror: %v, want %v", own, direct)
	}
}

// expect checks what the probe says, and that a machine loses less than two seconds.
func (s *twoBoxSite) expect(t *testing.T, what, want string) {
	t.Helper()
	said, took := s.probe(t)
	t.Logf("%s: the probe took %v", what, took)
	if said != want {
		t.Errorf("%s: the probe says %q, want %q", what, said, want)
	}
	if took > lost+slack {
		t.Errorf("%s: the probe took %v", what, took)
	}
	served := make([]int64, len(s.boxes))
	for i, b := range s.boxes {
		if want == b.URL {
			served[i] = b.Summary().Requests
		}
	}
	s.update(t, want == "DIRECT")
	for i, b := range s.boxes {
		if want == b.URL && b.Summary().Requests == served[i] {
			t.Errorf("%s: apt did not come to %s", what, want)
		}
	}
}

// vanish has the machine of a box answer nothing any more, as without power.
func vanish(t *testing.T, h *box.Host) {
	t.Helper()
	for _, rule := range []string{"add table inet gone", "add chain inet gone in { type filter hook input priority 0; policy drop; }", "add chain inet gone out { type filter hook output priority 0; policy drop; }"} {
		if err := system.Finish(h.Command("nft", rule)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoBoxes has a machine use the first of two boxes that found each other, the second
// once the first is killed or its machine is gone, and the mirror without both. The second
// has another port, which the first can only know from it, and the machine was set up
// before there was anything to know.
func TestTwoBoxes(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(map[bool]string{false: "killed", true: "without an answer"}[gone], func(t *testing.T) {
			s := newTwoBoxSite(t)
			second := strings.TrimPrefix(s.boxes[1].URL, "http://")
			s.install(t)
			poll.Must(t, time.Minute, "the first box knows where clients reach the second", func() error {
				resp, err := http.Get(s.boxes[0].URL + "/probe")
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				b := make([]byte, 200)
				if n, _ := resp.Body.Read(b); !strings.Contains(string(b[:n]), "boxes: "+second+"\n") {
					return errors.New(string(b[:n]))
				}
				return nil
			})
			s.expect(t, "with both boxes", s.boxes[0].URL)
			if b, err := os.ReadFile(filepath.Join(s.Root, "var/cache/millpond-setup/boxes")); err != nil || string(b) != second+"\n" {
				t.Fatalf("the machine knows the boxes %q, %v", b, err)
			}
			end := func(i int) {
				if gone {
					vanish(t, s.hosts[i])
				}
				s.boxes[i].Kill()
			}
			end(0)
			s.expect(t, "without the first box", s.boxes[1].URL)
			end(1)
			s.expect(t, "without both boxes", "DIRECT")
			if !gone {
				s.boxes[0].Run()
				s.expect(t, "with the first box again", s.boxes[0].URL)
			}
		})
	}
}
