package apt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// A mirror that publishes another generation between any two requests is the
// worst that an update can meet. With by-hash every update succeeds, since the
// box asks for what its Release names; without, the files of the generation
// that the client was given may be gone, and the box says so: what must never
// happen is that it pairs one generation with another.
func TestMirrorSwitchesGenerationBetweenAnyTwoRequests(t *testing.T) {
	for _, byHash := range []bool{true, false} {
		t.Run(fmt.Sprintf("by-hash=%v", byHash), func(t *testing.T) {
			s := &site{key: aptest.NewKey("archive")}
			s.archive = aptest.NewArchive(s.key, aptest.Suite{NoByHash: !byHash})
			s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
			// apt takes no Release of the future, and each generation is a
			// second younger than the one before.
			version, begin := 0, time.Now().Add(-24*time.Hour)
			publish := func() {
				version++
				for i := range 5 {
					s.archive.Add(aptest.Package{Name: fmt.Sprintf("pkg%02d", i), Version: fmt.Sprintf("1.%d", version), Size: 2000})
				}
				s.mirror.Publish("/debian", s.archive.Publish(begin))
			}
			publish()
			s.box = box.Start(t, s.settings(t, "MILLPOND_INDEX_TTL=0s")...)
			s.mirror.OnRequest(func(aptest.Request) { publish() })

			c := s.client(t)
			succeeded := 0
			for range 8 {
				out, err := c.Apt(t.Context(), "update", "--error-on=any")
				if strings.Contains(out, "Hash Sum mismatch") {
					t.Fatalf("the box paired two generations:\n%s", out)
				}
				if err == nil {
					succeeded++
					c.MustApt("install", "--download-only", "pkg00", "pkg01")
				} else if byHash {
					t.Errorf("update failed although the mirror offers by-hash: %v", err)
				} else if !strings.Contains(out, "generation") {
					t.Errorf("apt is not told that the mirror moved on:\n%s", out)
				}
			}
			if byHash && succeeded == 0 {
				t.Error("no update succeeded")
			}
			if version < 8 {
				t.Errorf("the mirror switched %d times only; the test shows nothing", version)
			}
		})
	}
}
