package logs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// output is what a log writes, for several goroutines.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Reset()
}

// limited returns a log with a Limiter, and what it writes.
func limited(t *testing.T, run bool) (*slog.Logger, *output) {
	t.Helper()
	out := new(output)
	q := NewLimiter(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if run {
		go q.Run(t.Context())
	}
	return slog.New(q).With("part", "proxy"), out
}

func TestOnePartyFillsNoLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, out := limited(t, true)
		for i := range 10_000 {
			log.Info("request not served", "client", "10.0.0.1", "url", fmt.Sprintf("http://a%d.example.org/", i), "err", errors.New("x"))
		}
		log.Info("request not served", "client", "10.0.0.2")
		log.With("client", "10.0.0.1").Error("box broken")
		log.Debug("told because it was asked for")
		if n := strings.Count(out.String(), "\n"); n != linesOfParty+3 || !strings.Contains(out.String(), "client=10.0.0.2") || !strings.Contains(out.String(), "box broken") {
			t.Errorf("%d lines:\n%s", n, out)
		}
		out.Reset()
		time.Sleep(window + 1)
		synctest.Wait()
		if want := fmt.Sprintf(`level=INFO msg="lines left out" of="request not served" lines=%d written=%d`+"\n", 10_000-linesOfParty, linesOfParty+1); !strings.HasSuffix(out.String(), want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("at the end of a window: %s, want %s", out, want)
		}
		out.Reset()
		log.Info("request not served", "client", "10.0.0.1")
		time.Sleep(window)
		synctest.Wait()
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines in the next window:\n%s", n, out)
		}
	})
}

// Neither many parties nor many kinds of messages fill log or memory.
func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	log, out := limited(t, false)
	for i := range 10_000 {
		log.Warn("peer refused", "addr", fmt.Sprint("192.0.2.", i))
		log.Warn(fmt.Sprintf("http: error from 192.0.2.1:%d: EOF", i))
		log.With("url", fmt.Sprintf("http://h%d.example.org/x", i)).Error("wrong bytes")
	}
	if n := strings.Count(out.String(), "\n"); n != 2*linesOfKind+linesOfParty {
		t.Errorf("%d lines", n)
	}
	q := log.Handler().(*Limiter)
	for i := range 10_000 {
		log.Warn(strings.Repeat("x", i+1))
	}
	if len(q.kinds) > kindsInWindow+1 || len(q.kinds[kind{slog.LevelWarn, "peer refused"}].of) > linesOfKind {
		t.Errorf("%d kinds", len(q.kinds))
	}
}
