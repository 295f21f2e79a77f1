package apt

import (
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// Clients whose lists are older than the box ask for files that no index lists
// which the box has read, and which it holds under another name.
func TestUnlistedFilesOfHeldBytes(t *testing.T) {
	s := newSite(t, "MILLPOND_INDEX_TTL=0s")
	first := s.client(t)
	first.MustApt("update")
	install := append([]string{"install", "--download-only", "-o", "Acquire::Retries=0"}, names()...)
	first.MustApt(install...)

	s.mirror.Publish("/alias", s.archive.Publish(time.Now()))
	var all sync.WaitGroup
	for range 8 {
		c := aptest.NewClient(t)
		c.Trust(s.key)
		c.Sources(s.mirror.Source("/alias", "stable", "main"))
		c.MustApt("update")
		c.Proxy(s.box.URL)
		all.Go(func() {
			if out, err := c.Apt(t.Context(), install...); err != nil {
				t.Errorf("packages that the box holds under another name: %v\n%s", err, out)
			}
		})
	}
	all.Wait()
}
