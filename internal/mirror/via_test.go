package mirror

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millpond/internal/front"
)

// What a request came with is passed on before the box's own name, bounded.
func TestVia(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Via") }))
	t.Cleanup(server.Close)
	policy, err := ParsePolicy([]string{"127.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Policy: policy, Via: "millpond-1f3a"})
	t.Cleanup(func() { c.Close() })
	const own = "1.1 millpond-1f3a"
	long := strings.Repeat("1.1 box-0123456789, ", 200) + "1.1 last"
	for name, tt := range map[string]struct {
		via        []string
		begin, end string
	}{
		"none":       {nil, own, own},
		"one":        {[]string{"1.1 a"}, "1.1 a, " + own, own},
		"two fields": {[]string{"1.0 squid (squid/5.7)", "1.1 b"}, "1.0 squid (squid/5.7), 1.1 b, " + own, own},
		"long":       {[]string{long}, "1.1 box-0123456789, ", "1.1 last, " + own},
	} {
		ctx := ForSame(t.Context(), For(context.Background(), front.Party{}, tt.via))
		resp, err := c.Get(ctx, Request{URL: server.URL + "/debian/dists/stable/InRelease"})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !strings.HasPrefix(got, tt.begin) || !strings.HasSuffix(got, tt.end) || len(got) > maxVia+len(", "+own) {
			t.Errorf("%s: %.80q … %d bytes", name, got, len(got))
		}
	}
}
