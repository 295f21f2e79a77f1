package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		var fault error
		asked := 0
		a := &Appliance{log: newLog(t), lists: hostLists{config: Config{Hosts: []string{"archive.example.org"}}}}
		a.names.check = func(context.Context, string) error { asked++; return fault }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.checkNames(ctx) }()
		expect := func(what string, n int, faulty bool) {
			t.Helper()
			synctest.Wait()
			if faults := a.names.faults(); asked != n || (len(faults) > 0) != faulty {
				t.Errorf("%s: asked %d times, faults %+v; want %d times", what, asked, faults, n)
			}
		}
		expect("at the start", 1, false)
		fault = errors.New("nobody is there")
		time.Sleep(askNames + time.Second)
		expect("once it is wrong", 2, true)
		time.Sleep(3 * askAgain)
		expect("while it is wrong", 5, true)
		fault = nil
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
	if got := namesToAsk([]string{"*.example.net", "default", "a.example.org"}); !slices.Equal(got, []string{"deb.debian.org", "archive.ubuntu.com", "a.example.org"}) {
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
