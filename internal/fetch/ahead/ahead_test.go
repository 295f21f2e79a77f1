package ahead

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"millpond/internal/boxtest"
	"millpond/internal/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Package fetch tests what is read, with a mirror.

// Whatever clients ask for, and however long mirrors take, what waits, runs and
// is remembered is bounded; the end of the lifetime ends all of it.
func TestJobsAreBounded(t *testing.T) {
	t.Parallel()
	lifetime, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var mu sync.Mutex
	asked := make(map[string]int) // jobs begun, by host
	r := New(lifetime, Options{
		Catalog: boxtest.New(t, boxtest.Options{}).Catalog,
		OnRecord: func(l catalog.Location) ([]catalog.Location, error) {
			mu.Lock()
			asked[l.Host]++
			mu.Unlock()
			<-lifetime.Done()
			return nil, errors.New("over")
		},
		Go:  running.Go,
		Log: boxtest.New(t, boxtest.Options{}).Log,
	})
	file := func(host, dir int) catalog.Location {
		return catalog.Location{Scheme: "http", Host: fmt.Sprintf("h%d.example.org", host), Path: fmt.Sprintf("/pool/%d/a_1_amd64.deb", dir)}
	}
	for dir := range 10 * maxPerHost {
		r.Unlisted(file(0, dir))
	}
	if n := len(r.waiting); n != maxPerHost {
		t.Errorf("%d jobs wait for one mirror, want %d", n, maxPerHost)
	}
	for dir := range 4 {
		for host := range maxWaiting {
			r.Unlisted(file(1+host, dir))
			r.Unlisted(file(1+host, dir)) // makes no further job
		}
	}
	if n := len(r.waiting); n != maxWaiting {
		t.Errorf("%d jobs wait, want %d", n, maxWaiting)
	}
	if n := len(r.busy); n != maxHosts {
		t.Errorf("%d mirrors are asked, want %d", n, maxHosts)
	}
	for _, name := range []string{"/pool/a/InRelease", "/pool/a/a.html"} {
		r.Unlisted(catalog.Location{Scheme: "http", Host: "last.example.org", Path: name})
	}
	end()
	running.Wait()
	r.Unlisted(file(1, 1000))
	if len(r.waiting) != 0 || len(r.busy) != 0 {
		t.Errorf("after the end %d jobs wait, %d run", len(r.waiting), len(r.busy))
	}
	for host, n := range asked {
		if n != 1 || host == "last.example.org" {
			t.Errorf("%s: %d jobs", host, n)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory(3)
	for i := range 100 {
		if !m.first(i) || m.first(i) {
			t.Fatalf("%d is not new once", i)
		}
		if len(m.keys) > 3 || len(m.past) != len(m.keys) {
			t.Fatalf("%d keys and %d times are kept", len(m.keys), len(m.past))
		}
	}
	if m.first(98) || !m.first(3) {
		t.Error("the last ones are forgotten, or old ones are not")
	}
	for i := range m.past {
		m.past[i].at = m.past[i].at.Add(-retryAfter)
	}
	if !m.first(98) || len(m.past) != 1 {
		t.Errorf("remembered for longer than %s: %v", retryAfter, m.past)
	}
}
