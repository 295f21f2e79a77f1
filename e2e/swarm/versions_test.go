package swarm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/release"
)

// TestTwoVersions has boxes of this version and of the earliest one that counts in an open
// swarm and in one with a key: each takes from the other what that holds, in one piece and
// in several, the earlier one serves on when this one is taken out, and neither has any
// complaint about the other.
func TestTwoVersions(t *testing.T) {
	earlier := release.Program(t, release.Earliest)
	for _, keyed := range []bool{false, true} {
		t.Run(map[bool]string{false: "open", true: "with a key"}[keyed], func(t *testing.T) {
			packages := map[string]int{"of-earlier": 300_000, "of-earlier-large": 10_000_000, "of-this": 300_000, "of-this-large": 10_000_000, "last": 1000}
			s := newSwarm(t, packages)
			settings := []string{"MILLPOND_KEYRING_DIR=" + s.keys, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8", "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site"}
			if keyed {
				settings = append(settings, "MILLPOND_SWARM_KEY_FILE="+newKeyFile(t))
			}
			s.boxes = []*box.Box{box.StartProgram(t, earlier, settings...)}
			s.boxes = append(s.boxes, box.Start(t, append(settings, s.bootstrap())...))
			s.connected()
			for i, holder := range s.boxes {
				other, name := s.boxes[1-i], []string{"of-earlier", "of-this"}[i]
				all := []string{name, name + "-large"}
				if err := install(t.Context(), s.client(holder), all); err != nil {
					t.Fatal(err)
				}
				s.client(other).MustApt("update", "--error-on=any")
				s.inventory(holder, int64(2*(i+1)))
				s.mirror.ResetLog()
				if err := install(t.Context(), s.client(other), all); err != nil {
					t.Fatal(err)
				}
				if sent := s.mirror.BytesSent("*/pool/*"); sent != 0 {
					t.Errorf("%s and its large one: the mirror sent %d bytes of what the other box holds", name, sent)
				}
			}
			s.unblamed()

			this := s.boxes[1]
			if out, err := this.Command(t.Context(), "drain"); err != nil {
				t.Errorf("millpond drain: %v\n%s", err, out)
			}
			if err := install(t.Context(), s.client(s.boxes[0]), []string{"last"}); err != nil {
				t.Errorf("a client of the earlier version beside a box that is being taken out: %v", err)
			}
			s.unblamed()
		})
	}
}

// newKeyFile returns the path of a file with a new swarm key.
func newKeyFile(t *testing.T) string {
	t.Helper()
	key, err := (&box.Box{}).Command(t.Context(), "swarm-key")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "swarm.key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// unblamed checks that no box has a fault of another one on record, or logged a warning.
func (s *swarm) unblamed() {
	s.t.Helper()
	for i, b := range s.boxes {
		peers := b.Peers()
		if len(peers) != len(s.boxes)-1 {
			s.t.Errorf("box %d has %d peers", i, len(peers))
		}
		for _, p := range peers {
			if p.LastFault != "" || !p.BannedUntil.IsZero() {
				s.t.Errorf("box %d says of the other one: %q, banned until %v", i, p.LastFault, p.BannedUntil)
			}
		}
		for line := range strings.Lines(b.Log()) {
			if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
				s.t.Errorf("box %d: %s", i, line)
			}
		}
	}
}
