package mirror

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestParseResolver(t *testing.T) {
	t.Parallel()
	for entries, want := range map[string]string{
		"":                                    "",
		"192.0.2.53":                          "192.0.2.53",
		"192.0.2.53:53":                       "192.0.2.53",
		"192.0.2.53:5353":                     "192.0.2.53:5353",
		"2001:db8::53,192.0.2.1":              "2001:db8::53,192.0.2.1",
		"[2001:db8::53]:5353":                 "[2001:db8::53]:5353",
		"::ffff:192.0.2.53":                   "192.0.2.53",
		"dns.example.org":                     "error",
		"192.0.2.53:dns":                      "error",
		"192.0.2.53:0":                        "error",
		"0.0.0.0":                             "error",
		"192.0.2.0/24":                        "error",
		"192.0.2.1,192.0.2.1":                 "error",
		"10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4": "error",
	} {
		var list []string
		if entries != "" {
			list = strings.Split(entries, ",")
		}
		r, err := ParseResolver(list)
		got := r.String()
		if err != nil {
			got = "error"
		}
		if got != want || r.IsSet() != (got != "error" && got != "") {
			t.Errorf("%q: %q, %v, want %q", entries, got, err, want)
		}
	}
}

// listen serves s by UDP at an address of its own.
func (s *nameServer) listen(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 2048); ; {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := l.WriteTo(s.answer(b[:n]), from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Mirrors' names are resolved by the servers of the setting: by the first that answers.
func TestResolver(t *testing.T) {
	t.Parallel()
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := closed.LocalAddr().String()
	closed.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	names := &nameServer{answers: [][]netip.Addr{addrs("127.0.0.1")}}
	r, err := ParseResolver([]string{dead, names.listen(t).String()})
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Policy: mustPolicy(t, "127.0.0.1"), Resolver: r})
	defer c.Close()
	host := "deb.example.org:" + port
	resp, err := c.Get(t.Context(), Request{URL: "http://" + host + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	names.mu.Lock()
	asked := names.asked
	names.mu.Unlock()
	if string(b) != host || err != nil || asked != 1 {
		t.Errorf("got %q, %v after %d questions", b, err, asked)
	}
}

// A name that leads to this box is refused, with the setting that helps.
func TestOwnAddress(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came back") }))
	defer srv.Close()
	at := netip.MustParseAddrPort(srv.Listener.Addr().String())
	names := &nameServer{answers: [][]netip.Addr{addrs("127.0.0.1")}}
	r, err := ParseResolver([]string{names.listen(t).String()})
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(at.String())
	for _, resolver := range []Resolver{{}, r} {
		c := New(Options{
			Policy: mustPolicy(t, "127.0.0.1"), Resolver: resolver,
			Self: func(a netip.AddrPort) bool { return a == at },
		})
		c.resolver = names.resolver()
		_, err := c.Get(t.Context(), Request{URL: "http://deb.example.org:" + port + "/"})
		var refused *RefusedError
		if !errors.As(err, &refused) || !refused.Loop || refused.Addr != "127.0.0.1" || !strings.Contains(err.Error(), resolverSetting) {
			t.Errorf("%v: %v", resolver, err)
		}
		if named := strings.Contains(err.Error(), resolverSetting+"="); named != resolver.IsSet() {
			t.Errorf("%v: %v", resolver, err)
		}
		if _, err := c.Dial(t.Context(), "deb.example.org:"+port); !errors.As(err, &refused) || !refused.Loop {
			t.Errorf("%v, tunnel: %v", resolver, err)
		}
		c.Close()
	}
}

func FuzzParseResolver(f *testing.F) {
	for _, seed := range []string{"192.0.2.53", "[2001:db8::53]:5353", "dns.example.org", ":53"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		r, err := ParseResolver([]string{entry})
		if err != nil {
			return
		}
		if again, err := ParseResolver([]string{r.String()}); err != nil || again.String() != r.String() {
			t.Errorf("%q: %q, read again %q, %v", entry, r, again, err)
		}
	})
}
