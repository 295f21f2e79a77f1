package apt

import (
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// A client with Acquire::http::No-Cache, as in a pipeline that installs what it
// has just published, sees a publication at once; the others within the TTL.
func TestNoCacheSeesThePublication(t *testing.T) {
	s := newSite(t, "MILLPOND_INDEX_TTL=1h")
	patient, insistent := s.client(t), s.client(t)
	candidate := func(c *aptest.Client) string {
		t.Helper()
		out, err := c.Run(t.Context(), "apt-cache", "policy", "pkg00")
		if err != nil {
			t.Fatal(err)
		}
		_, out, _ = strings.Cut(out, "Candidate: ")
		version, _, _ := strings.Cut(out, "\n")
		return version
	}
	patient.MustApt("update")
	insistent.MustApt("update")

	checked := time.Now()
	s.archive.Add(aptest.Package{Name: "pkg00", Version: "2.0-1", Size: 1000})
	s.mirror.Publish("/debian", s.archive.Publish(checked.Add(time.Second)))
	patient.MustApt("update")
	if got := candidate(patient); got != "1.0-1" {
		t.Errorf("a client that does not insist had the mirror asked within the TTL: it sees %s", got)
	}
	// The mirror is asked again a second after the last check.
	time.Sleep(time.Until(checked.Add(time.Second)))
	before := s.mirror.Requests("*InRelease")
	insistent.MustApt("update", "-o", "Acquire::http::No-Cache=true")
	if got := candidate(insistent); got != "2.0-1" {
		t.Errorf("with No-Cache a client sees %s right after the publication of 2.0-1", got)
	}
	if n := s.mirror.Requests("*InRelease") - before; n != 1 {
		t.Errorf("an update with No-Cache made %d requests of the mirror for InRelease, want 1", n)
	}
	patient.MustApt("update")
	if got := candidate(patient); got != "2.0-1" {
		t.Errorf("after another client insisted, one that does not sees %s", got)
	}
}
