package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/fetch"
	"millpond/internal/mirror"
)

// TestRealAptEndsAsDirect: for every status that a mirror answers to the request
// for an index, with and without a body, apt's update ends through the box as it
// does without it; and what the box says of itself is an error where direct would
// end with one.
func TestRealAptEndsAsDirect(t *testing.T) {
	if testing.Short() {
		t.Skip("runs apt")
	}
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	a.Add(aptest.Package{Name: "hello", Version: "1", Arch: "amd64", Size: 1000})
	g := a.Publish(time.Now())
	for _, code := range []int{400, 403, 404, 405, 408, 410, 418, 429, 451, 500, 501, 502, 503, 504, 505, 508, 511, 599} {
		for _, body := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, body %v", code, body), func(t *testing.T) {
				t.Parallel()
				direct := updateDirect(t, key, g, code, body)
				boxed, out := updateThrough(t, key, g, &mirror.StatusError{URL: "http://deb.example.org/x", Code: code, Body: body})
				if boxed != direct {
					t.Errorf("update ends well: %v, direct %v\n%s", boxed, direct, out)
				}
			})
		}
	}
	for _, tt := range []struct {
		name string
		err  error
		ends bool // well, with the file left out
	}{
		{"wrong bytes", fetch.ErrWrongBytes, false},
		{"nobody has it", fetch.ErrNoSource, false},
		{"moved on", fetch.ErrMoved, false},
		{"redirect loop", &mirror.AnswerError{URL: "http://deb.example.org/x", Err: errors.New("more than 10 redirects")}, false},
		{"cut", &mirror.AnswerError{URL: "http://deb.example.org/x", Err: io.ErrUnexpectedEOF}, true},
		{"upstream proxy away", &mirror.UpstreamError{Proxy: "proxy.example.net:3128", Err: errors.New("connection refused")}, true},
		{"upstream proxy refuses", &mirror.UpstreamError{Proxy: "proxy.example.net:3128", Code: 407, Err: errors.New("it wants a login")}, false},
		{"unreachable", &mirror.UnreachableError{Host: "deb.example.org:80", Err: errors.New("connection refused")}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			well, out := updateThrough(t, key, g, tt.err)
			if well != tt.ends || !strings.Contains(out, explain(tt.err).cause) {
				t.Errorf("update ends well: %v, want %v\n%s", well, tt.ends, out)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// update runs apt's and reports whether it ended well.
func update(t *testing.T, key *aptest.Key, proxy string) (well bool, out string) {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(key)
	c.Set("Acquire::Retries", "0")
	c.Set("Acquire::http::Proxy", proxy)
	c.Sources("deb http://deb.example.org/debian stable main")
	out, err := c.Apt(t.Context(), "update")
	return err == nil, out
}

func updateDirect(t *testing.T, key *aptest.Key, g *aptest.Generation, code int, body bool) bool {
	// A proxy that adds nothing, so that the name is the same.
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _ := strings.CutPrefix(r.URL.Path, "/debian/")
		switch {
		case strings.Contains(name, "/main/"):
			w.WriteHeader(code)
			if body {
				io.WriteString(w, "trouble")
			}
		case strings.HasSuffix(name, "InRelease"):
			w.Write(g.File(name))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	well, _ := update(t, key, srv.URL)
	return well
}

func updateThrough(t *testing.T, key *aptest.Key, g *aptest.Generation, err error) (well bool, out string) {
	b := newBox(nil)
	b.publish(t, "http://deb.example.org/debian/", g)
	for url := range b.files {
		if strings.Contains(url, "/main/") {
			b.files[url] = fails(err)
		}
	}
	b.serve(t)
	return update(t, key, "http://"+b.addr)
}
