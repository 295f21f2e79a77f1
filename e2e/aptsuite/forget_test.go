package aptsuite

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"millpond/e2e/internal/box"
)

// forgetting empties a box whenever a test is about to fetch something: what
// fails through a box because of what it holds must pass then.
type forgetting struct {
	url   string
	box   *box.Box
	asked chan chan struct{}
}

// newForgetting has a box that a test can ask, by a request to url, to forget.
func newForgetting(t *testing.T, settings ...string) *forgetting {
	t.Helper()
	f := &forgetting{asked: make(chan chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		select {
		case f.asked <- done:
		case <-r.Context().Done():
			return
		}
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	f.box = box.Start(t, append(settings, "MILLPOND_SWARM=false")...) // begins sooner
	return f
}

// until has the box forget when it is asked to, until a test has ended.
func (f *forgetting) until(ended <-chan error) error {
	for {
		select {
		case err := <-ended:
			return err
		case done := <-f.asked:
			f.box.Kill()
			if err := os.RemoveAll(f.box.Data); err != nil {
				return err
			}
			f.box.Run()
			close(done)
		}
	}
}
