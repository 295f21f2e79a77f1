package dashboard

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/api"
)

// logTo returns a logger that writes to w what events keeps.
func logTo(w io.Writer, events *Events) *slog.Logger {
	return slog.New(events.Handler(slog.NewTextHandler(w, nil)))
}

// Guessing is logged; the right token counts from the same
// address all the while.
func TestWrongTokens(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	events := new(Events)
	r, s := serve(t, func(o *Options) { o.Events, o.Log = events, logTo(&out, events) })
	codes := make(map[int]int)
	for i := range 4494 {
		resp, body := request(t, s, http.MethodPut, "/api/v1/peers/you/ban", "Authorization", fmt.Sprintf("Bearer guess-%d", i))
		codes[resp.StatusCode]++
		if id := resp.Header.Get("X-Request-Id"); i%100 == 0 && (id == "" || !strings.Contains(out.String(), "request="+id+" ")) {
			t.Errorf("the log does not have request %q", id)
		}
		if resp.StatusCode == http.StatusTooManyRequests && (resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "Too many wrong tokens")) {
			t.Fatalf("%v: %s", resp.Header, body)
		}
	}
	// As many as wrongEvery allows come on top if the machine is slow.
	if codes[401] < wrongAtOnce || codes[401] > 10*wrongAtOnce || codes[401]+codes[429] != 4494 {
		t.Errorf("statuses %v", codes)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 4494 || !strings.Contains(lines[3], "client=127.0.0.1") || strings.Contains(out.String(), "guess") {
		t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
	if got := get[api.EventList](t, r, "/api/v1/events").Events; len(got) != 1 || got[0].Times != 4494 || got[0].Level != "warn" || got[0].Client != "127.0.0.1" {
		t.Errorf("events: %+v", got)
	}
	if resp, body := request(t, s, http.MethodPut, "/api/v1/peers/you/ban", "Authorization", "Bearer "+token); resp.StatusCode != http.StatusNoContent {
		t.Errorf("the right token: %s: %s", resp.Status, body)
	}
	if resp, body := request(t, s, http.MethodPut, "/api/v1/peers/you/ban"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("no token: %s: %s", resp.Status, body)
	}
}

// What an administrator does is logged with who did it and how it ended.
func TestAdminActionsAreLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, s := serve(t, func(o *Options) { o.Log = logTo(&out, new(Events)) })
	request(t, s, http.MethodPut, "/api/v1/peers/you/ban", "Authorization", "Bearer "+token)
	request(t, s, http.MethodDelete, "/api/v1/blobs/"+strings.Repeat("0", 64), "Authorization", "Bearer "+token)
	request(t, s, http.MethodPut, "/api/v1/peers/me/ban")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{
		`msg="admin action" action=banPeer what=peers/you/ban client=127.0.0.1 result=done`,
		`msg="admin action" action=removeBlob what=blobs/` + strings.Repeat("0", 64) + ` client=127.0.0.1 result="refused with 404 Not Found"`,
	} {
		if len(lines) != 2 || !strings.HasSuffix(lines[i], want) {
			t.Errorf("the log, where %s should be:\n%s", want, out.String())
		}
	}
}

func TestBursts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bursts
		client := netip.MustParseAddr("2001:db8::1")
		for i := range wrongAtOnce {
			if !b.add(client, strconv.Itoa(i)) {
				t.Errorf("attempt %d is refused", i+1)
			}
		}
		if !b.add(client, strconv.Itoa(wrongAtOnce-1)) {
			t.Error("the same again is refused")
		}
		if b.add(netip.MustParseAddr("2001:db8::2"), "") {
			t.Error("another address of the same network is not refused")
		}
		if !b.add(netip.MustParseAddr("10.1.2.3"), "") {
			t.Error("another client is refused")
		}
		time.Sleep(wrongEvery)
		if !b.add(client, "later") || b.add(client, "too soon") {
			t.Error("later, not one attempt is within the limit")
		}
	})
}

// A client with many addresses fills no memory.
func TestBurstsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bursts
		a := netip.MustParseAddr("10.0.0.0")
		for range 20 * maxBursts {
			a = a.Next()
			b.add(a, "")
		}
		if len(b.of) > maxBursts+1 {
			t.Errorf("%d clients", len(b.of))
		}
		time.Sleep(burstEnds + 1)
		if !b.add(netip.MustParseAddr("10.1.2.3"), "") || len(b.of) != 1 {
			t.Errorf("afterwards there are %d clients", len(b.of))
		}
	})
}

// Many addresses are no way around the limit of one.
func TestBurstsInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bursts
		a, within := netip.MustParseAddr("10.0.0.0"), 0
		for i := range 2 * wrongInAll {
			if a = a.Next(); b.add(a, strconv.Itoa(i)) {
				within++
			}
		}
		if within != wrongInAll {
			t.Errorf("%d of %d attempts are within the limit", within, 2*wrongInAll)
		}
		time.Sleep(wrongInAllEvery)
		if !b.add(a.Next(), "later") || b.add(a.Next().Next(), "too soon") {
			t.Error("later, not one attempt is within the limit")
		}
	})
}
