package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/aptest"
)

// Names are looked up at the start and seldom after that, more often while one is wrong;
// that is logged once.
func TestNameCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var faulty atomic.Bool
		var asked atomic.Int32
		a := &Appliance{log: newLog(t), lists: hostLists{config: Config{Hosts: []string{"archive.example.org"}}}}
		a.names.check = func(context.Context, string) error {
			asked.Add(1)
			if faulty.Load() {
				return errors.New("nobody is there")
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.checkNames(ctx) }()
		expect := func(what string, n int32, wrong bool) {
			t.Helper()
			synctest.Wait()
			if faults := a.names.faults(); asked.Load() != n || (len(faults) > 0) != wrong {
				t.Errorf("%s: asked %d times, faults %+v; want %d times", what, asked.Load(), faults, n)
			}
		}
		expect("at the start", 1, false)
		faulty.Store(true)
		time.Sleep(askNames + time.Second)
		expect("once it is wrong", 2, true)
		time.Sleep(3 * askAgain)
		expect("while it is wrong", 5, true)
		faulty.Store(false)
		time.Sleep(askAgain)
		expect("corrected", 6, false)
		time.Sleep(askAgain)
		expect("after that", 6, false)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNamesToAsk(t *testing.T) {
	t.Parallel()
	if got := namesToAsk([]string{"*.example.net", "default", "a.example.org"}); !slices.Equal(got, []string{"deb" + ".debian.org", "archive.ubuntu.com", "a.example.org"}) {
		t.Errorf("%q", got)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("host%d.example.org", i))
	}
	if got := namesToAsk(many); len(got) != maxNamesAsked {
		t.Errorf("%d names", len(got))
	}
}

// /readyz tells of DNS servers that do not answer; the box serves all the same.
func TestReadyzTellsOfTheResolver(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir(), "MILLPOND_HOSTS=archive.example.org", "MILLPOND_RESOLVER=127.0.0.1:9"))
	until(t, "the fault in /readyz", func() bool {
		resp, body := newClient(t, "").get(t, "GET", b.url+"/readyz")
		return resp.StatusCode == 200 && strings.Contains(string(body), "127.0.0.1:9") && strings.Contains(string(body), "MILLPOND_RESOLVER")
	})
}
