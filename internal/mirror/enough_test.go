package mirror

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A mirror that drips gets no more connections for long than it accepts, and small
// files come all the same.
func TestMirrorThatHasEnough(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(w http.ResponseWriter){
		"429": func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) },
		"503": func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"hangs up": func(w http.ResponseWriter) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		},
	} {
		for _, accepts := range []int32{10, 20, 30} {
			t.Run(fmt.Sprintf("%s beyond %d", name, accepts), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { haveEnough(t, accepts, refuse) })
			})
		}
	}
}

// haveEnough has a mirror refuse those of 60 requests for slow files, and then small
// ones, that are more than it accepts.
func haveEnough(t *testing.T, accepts int32, refuse func(w http.ResponseWriter)) {
	var open, refused, slow atomic.Int32
	c := newPiped(t, func(w http.ResponseWriter, r *http.Request) {
		defer open.Add(-1)
		if open.Add(1) > accepts {
			refused.Add(1)
			refuse(w)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/small") {
			io.WriteString(w, "small")
			return
		}
		slow.Add(1)
		defer slow.Add(-1)
		for r.Context().Err() == nil {
			io.WriteString(w, "some of it")
			http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 60 {
		go func() {
			for ctx.Err() == nil { // as a flight does
				if resp, err := c.Get(ctx, Request{URL: "http://deb.example.org/slow"}); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				_ = sleep(ctx, time.Second)
			}
		}()
	}
	time.Sleep(20 * time.Second)
	if n := slow.Load(); n < accepts/2 || n > accepts {
		t.Errorf("%d slow files at a mirror that accepts %d requests", n, accepts)
	}
	before := refused.Load()
	for range 10 {
		begun := time.Now()
		resp, err := c.Get(ctx, Request{URL: "http://deb.example.org/small", Small: true})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("a small file took %v", took)
		}
		time.Sleep(time.Second)
	}
	if n := refused.Load() - before; n > 10 {
		t.Errorf("%d requests more were refused", n)
	}
}
