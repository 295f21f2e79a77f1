package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"millpond/internal/front"
)

// A change of the lists counts for what begins after it. What began before, under one
// context, may go on to ask for the rest of its file.
func TestReplace(t *testing.T) {
	t.Parallel()
	policy := mustPolicy(t, "127.0.0.1")
	srv, c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "file") }, Options{Policy: policy})
	before := For(t.Context(), front.Party{}, nil)
	idle := For(t.Context(), front.Party{}, nil) // nothing is asked under it before the change
	expect := func(when string, ctx context.Context, setting string) {
		t.Helper()
		resp, err := c.Get(ctx, Request{URL: srv.URL + "/debian/pool/a.deb"})
		var refused *RefusedError
		switch {
		case err == nil:
			resp.Body.Close()
			if setting != "" {
				t.Errorf("%s: taken, want it refused by %s", when, setting)
			}
		case !errors.As(err, &refused) || setting == "" || !strings.HasPrefix(refused.Setting, setting):
			t.Errorf("%s: %v, want a refusal by %q", when, err, setting)
		}
	}
	replace := func(allow, only []string) {
		t.Helper()
		next, err := ParsePolicy(allow)
		if err == nil {
			err = next.Restrict(only)
		}
		if err != nil {
			t.Fatal(err)
		}
		policy.Replace(next)
	}
	host := strings.TrimPrefix(srv.URL, "http://")
	expect("at first", before, "")
	replace([]string{"127.0.0.1"}, []string{"archive.example.org"})
	expect("excluded", t.Context(), "MILLPOND_ONLY_ARCHIVES")
	expect("excluded, first asked now", idle, "MILLPOND_ONLY_ARCHIVES")
	expect("excluded, asked before", before, "")
	replace([]string{"127.0.0.1"}, []string{host})
	expect("included", t.Context(), "")
	expect("included, refused before", idle, "MILLPOND_ONLY_ARCHIVES")
	replace(nil, nil)
	expect("forbidden", t.Context(), "MILLPOND_ALLOW_UPSTREAMS")
	expect("forbidden, asked before", before, "")
}

// A connection that is open to an address which the new list forbids is not used again:
// its host's name is as good as any.
func TestReplaceWithOpenConnections(t *testing.T) {
	t.Parallel()
	policy := mustPolicy(t, "127.0.0.0/8")
	var asked int
	var mu sync.Mutex
	srv, c := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		fmt.Fprint(w, "file")
	}, Options{Policy: policy})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c.resolver = (&nameServer{answers: [][]netip.Addr{addrs("127.0.0.1")}}).resolver()
	get := func() error {
		resp, err := c.Get(t.Context(), Request{URL: "http://archive.example.org:" + port + "/debian/pool/a.deb"})
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	// Ports as before, so that the name passes until its address is known.
	next, err := ParsePolicy([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	policy.Replace(next)
	var refused *RefusedError
	if err := get(); !errors.As(err, &refused) || refused.Addr != "127.0.0.1" {
		t.Errorf("after the change: %v, want a refusal of the address", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked != 1 {
		t.Errorf("the host was asked %d times, want once", asked)
	}
}

// Requests and changes at the same time: each goes by one list or the other.
func TestReplaceWhileAsking(t *testing.T) {
	t.Parallel()
	policy := mustPolicy(t, "127.0.0.1")
	one, other := mustPolicy(t, "127.0.0.1"), mustPolicy(t, "127.0.0.1")
	if err := other.Restrict([]string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 {
				if err := errors.Join(policy.CheckName("127.0.0.1", 80), policy.CheckArchive("127.0.0.1", 80, "/dists")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 1000 {
		policy.Replace(other)
		policy.Replace(one)
	}
	all.Wait()
}
