package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fetchAt gets path of deb.example.org and reads it to its end.
func fetchAt(ctx context.Context, c *Client, path string) (string, error) {
	resp, err := c.Get(ctx, Request{URL: "http://deb.example.org" + path})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// TestSlowStart: one file whose first byte takes long is served, and others of
// its host meanwhile and afterwards.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"before the header", "after the header"} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
					if slow, ok := strings.CutPrefix(r.URL.Path, "/slow/"); ok {
						d, _ := time.ParseDuration(slow)
						if after == "after the header" {
							w.Header().Set("Content-Length", "4")
							flush(w)
						}
						time.Sleep(d)
					}
					io.WriteString(w, "file")
				}, Options{})
				done := make(chan error)
				for _, wait := range []string{"20s", "90s"} {
					go func() {
						got, err := fetchAt(t.Context(), c, "/slow/"+wait)
						if err == nil && got != "file" {
							err = fmt.Errorf("got %q", got)
						}
						done <- err
					}()
				}
				for range 3 {
					time.Sleep(15 * time.Second)
					if _, err := fetchAt(t.Context(), c, "/other"); err != nil {
						t.Errorf("another file: %v", err)
					}
				}
				for range 2 {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				// Too slow for the box, however often it is asked for.
				for range 2 * maxSilent {
					if _, err := fetchAt(t.Context(), c, "/slow/10m"); err == nil {
						t.Error("no limit")
					}
				}
				if err := c.down.cause("deb.example.org:80"); err != nil {
					t.Errorf("one slow file marks its host: %v", err)
				}
			})
		})
	}
}

// TestDown holds that a mirror which answers nothing is noticed, gets no request
// for a while, and one again then.
func TestDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		var back atomic.Bool
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if !back.Load() && r.Host == "deb.example.org" {
				<-r.Context().Done()
			}
		}, Options{})
		get := func(url string) (time.Duration, error) {
			start := time.Now()
			resp, err := c.Get(t.Context(), Request{URL: url})
			if err == nil {
				resp.Body.Close()
			}
			return time.Since(start), err
		}
		var away *UnreachableError
		for i := range int32(maxSilent) {
			took, err := get(fmt.Sprintf("http://deb.example.org/a%d", i))
			if !errors.As(err, &away) || away.Host != "deb.example.org:80" || took != defaultHeaderTimeout || requests.Load() != i+1 {
				t.Fatalf("%v after %v and %d requests", err, took, requests.Load())
			}
		}
		cause := away.Err
		time.Sleep(defaultDownFor - time.Second)
		for range 100 {
			// No answer from memory prolongs the time.
			took, err := get("http://DEB.example.org:80/b")
			if !errors.As(err, &away) || !errors.Is(err, cause) || took != 0 || requests.Load() != maxSilent {
				t.Fatalf("%v after %v and %d requests, want the same at once", err, took, requests.Load())
			}
		}
		if _, err := get("http://mirror.example.net/b"); err != nil {
			t.Errorf("another host: %v", err)
		}
		time.Sleep(time.Second)
		// Still silent: the next file tells.
		if took, _ := get("http://deb.example.org/c"); took != defaultHeaderTimeout || c.down.cause("deb.example.org:80") == nil {
			t.Errorf("not down again after %v", took)
		}
		time.Sleep(defaultDownFor)
		back.Store(true)
		if _, err := get("http://deb.example.org/c"); err != nil {
			t.Errorf("back again: %v", err)
		}
	})
}

// TestDownClears: an answer that comes after all frees the host before its time.
func TestDownClears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/never") {
				<-r.Context().Done()
				return
			}
			time.Sleep(defaultHeaderTimeout - time.Second)
		}, Options{})
		late := make(chan error)
		go func() {
			time.Sleep(2 * time.Second)
			_, err := fetchAt(t.Context(), c, "/late")
			late <- err
		}()
		never := make(chan error)
		for i := range maxSilent {
			go func() {
				_, err := fetchAt(t.Context(), c, fmt.Sprintf("/never%d", i))
				never <- err
			}()
		}
		for range maxSilent {
			if err := <-never; err == nil {
				t.Error("got an answer")
			}
		}
		if c.down.cause("deb.example.org:80") == nil {
			t.Error("not marked down")
		}
		if err := <-late; err != nil {
			t.Error(err)
		}
		if err := c.down.cause("deb.example.org:80"); err != nil {
			t.Error(err)
		}
	})
}

// TestPatience: who has somebody else to ask waits no longer than he says, and
// proves nothing about the host.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
			d, _ := time.ParseDuration(r.URL.Query().Get("wait"))
			time.Sleep(d)
			io.WriteString(w, "file")
			flush(w)
			time.Sleep(5 * time.Second)
		}, Options{})
		for i, wait := range []string{"5s", "11s", "12s", "13s", "14s"} {
			begun := time.Now()
			resp, err := c.Get(t.Context(), Request{URL: fmt.Sprintf("http://deb.example.org/%d?wait=%s", i, wait), Patience: 10 * time.Second})
			if i == 0 {
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body) // beyond the patience
				resp.Body.Close()
				if string(b) != "file" || err != nil || time.Since(begun) != 10*time.Second {
					t.Errorf("got %q, %v after %v", b, err, time.Since(begun))
				}
				continue
			}
			var away *UnreachableError
			if !errors.Is(err, ErrSlow) || !errors.As(err, &away) || time.Since(begun) != 10*time.Second {
				t.Errorf("got %v after %v", err, time.Since(begun))
			}
		}
		if err := c.down.cause("deb.example.org:80"); err != nil {
			t.Error(err)
		}
	})
}
