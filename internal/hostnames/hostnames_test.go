package hostnames

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is a resolver that knows some addresses and names.
type zone struct {
	reverse map[string][]string // by address
	back    map[string]string   // by name
}

var site = zone{
	reverse: map[string][]string{
		"10.1.2.3": {"Desk.example.org."},
		"10.1.2.4": {"bank.example.org."}, // whose address is another
		"10.1.2.5": {"nowhere.example.org.", "alias.example.org."},
	},
	back: map[string]string{"Desk.example.org.": "10.1.2.3", "bank.example.org.": "192.0.2.1", "alias.example.org.": "::ffff:10.1.2.5"},
}

func (z zone) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if addr == "10.9.9.9" { // nobody answers
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if z.reverse[addr] == nil {
		return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
	}
	return z.reverse[addr], nil
}

func (z zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if z.back[host] == "" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr(z.back[host])}, nil
}

func TestNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		zone := zone{maps.Clone(site.reverse), site.back}
		h := New(zone)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		for addr, want := range map[string]string{
			"10.1.2.3": "desk.example.org",
			"10.1.2.4": "", // a name that does not lead back
			"10.1.2.5": "alias.example.org",
			"10.1.2.6": "",
			"others":   "",
		} {
			if got := h.Of(addr); got != "" {
				t.Errorf("%s has the name %q at once", addr, got)
			}
			synctest.Wait()
			if got := h.Of(addr); got != want || h.Known(addr) != want {
				t.Errorf("%s has the name %q, want %q", addr, got, want)
			}
		}
		// A name is kept until there is a newer one.
		delete(zone.reverse, "10.1.2.3")
		time.Sleep(nameFor + time.Second)
		if got := h.Of("10.1.2.3"); got != "desk.example.org" {
			t.Errorf("an old name is forgotten before it is looked up: %q", got)
		}
		synctest.Wait()
		if got := h.Of("10.1.2.3"); got != "" {
			t.Errorf("a name that was withdrawn: %q", got)
		}
		// Where nobody answers, it is asked again sooner, and no other waits.
		h.Of("10.9.9.9")
		h.Of("10.1.2.3")
		time.Sleep(lookupLimit)
		synctest.Wait()
		if n := h.known["10.9.9.9"]; time.Until(n.until) > noNameFor {
			t.Errorf("after no answer it is asked again in %v", time.Until(n.until))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A forgotten address has no name, nor gets the one that is being looked up.
func TestForget(t *testing.T) {
	t.Parallel()
	h := New(site)
	for _, during := range []bool{false, true} {
		if got := h.Of("10.1.2.3"); got != "" {
			t.Fatalf("the name is %q at once", got)
		}
		addr := <-h.wanted
		if during {
			h.Forget(addr)
		}
		h.find(t.Context(), addr)
		if got := h.Known(addr); (got == "") != during {
			t.Errorf("forgotten %v: the name is %q", during, got)
		}
		h.Forget(addr)
		if len(h.known) != 0 || len(h.looking) != 0 {
			t.Errorf("after Forget: %v, %v", h.known, h.looking)
		}
	}
}

// Without a resolver nothing is looked up.
func TestNoResolver(t *testing.T) {
	t.Parallel()
	h := New(nil)
	if got := h.Of("10.1.2.3"); got != "" || len(h.wanted) != 0 || len(h.known) != 0 {
		t.Errorf("the name is %q, %d wait", got, len(h.wanted))
	}
}

// More addresses than are remembered, and more than are looked up at once.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	h := New(site)
	for i := range 3 * maxWanted {
		h.Of(fmt.Sprintf("10.2.%d.%d", i/250, i%250))
	}
	if len(h.wanted) != maxWanted || len(h.known) != maxWanted || len(h.looking) != maxWanted {
		t.Errorf("%d addresses wait, %d and %d are noted, want %d", len(h.wanted), len(h.known), len(h.looking), maxWanted)
	}
	for i := range maxNames + 100 {
		addr := fmt.Sprintf("10.3.%d.%d", i/250, i%250)
		h.looking[addr] = struct{}{}
		h.find(t.Context(), addr)
	}
	if len(h.known) != maxNames || h.Known("10.1.2.3") != "" {
		t.Errorf("%d names are remembered, want %d", len(h.known), maxNames)
	}
	if _, err := h.lookUp(t.Context(), "10.1.2.6"); !errors.As(err, new(*net.DNSError)) {
		t.Errorf("an address without a name: %v", err)
	}
}
