package blobproto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// pipe is a stream within the process.
type pipe struct{ net.Conn }

func (p pipe) Reset() error { return p.Close() }

// distant is a peer that answers each request with 404 after a while, and what a Client
// that asks it did.
type distant struct {
	*Client
	answers atomic.Int64 // after how many nanoseconds
	lag     atomic.Int64 // nanoseconds
	stalled atomic.Int64 // times
}

func newDistant(t *testing.T) *distant {
	d := &distant{}
	d.Client = NewClient(ClientOptions{
		Dial: func(context.Context, string) (Stream, error) {
			here, there := net.Pipe()
			go d.serve(t.Context(), there)
			return pipe{here}, nil
		},
		RTT:     func(string) time.Duration { return 0 },
		Stalled: func(string) { d.stalled.Add(1) },
		Lag:     func() time.Duration { return time.Duration(d.lag.Load()) },
		Lied:    func(_, what string) { t.Error(what) },
		Taken:   func(string, int64) {},
	})
	t.Cleanup(d.CloseIdle)
	return d
}

func (d *distant) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		select {
		case <-time.After(time.Duration(d.answers.Load())):
		case <-ctx.Done():
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

// ask requests a file and returns how long the outcome took, and whether it was an answer.
func (d *distant) ask(t *testing.T, f peer.Fetch) (took time.Duration, answered bool) {
	t.Helper()
	begun := time.Now()
	_, err := d.Open(t.Context(), "peer-id", digest.Digest{}, peer.Request{Fetch: f})
	took = time.Since(begun)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, peer.ErrStalled) {
		t.Fatalf("after %v: %v", took, err)
	}
	return took, errors.Is(err, fs.ErrNotExist)
}

const (
	unknownLimit = minHeaderTimeout + headerRTTs*unknownRTT
	answerTime   = unknownLimit + 100*time.Millisecond
)

// TestAnswerTimes: a peer that takes long with each answer is called silent once, and one
// that is no longer there soon.
func TestAnswerTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDistant(t)
		d.answers.Store(int64(answerTime))
		if took, ok := d.ask(t, peer.NoFetch); ok || took != unknownLimit || d.stalled.Load() != 1 {
			t.Errorf("unknown: %v after %v, stalled %d times; want it called silent after %v", ok, took, d.stalled.Load(), unknownLimit)
		}
		for range 100 {
			if took, ok := d.ask(t, peer.NoFetch); !ok || took != answerTime {
				t.Fatalf("a peer that is known to take %v: %v after %v", answerTime, ok, took)
			}
		}
		if n := d.stalled.Load(); n != 1 {
			t.Errorf("a known peer is called silent %d times more", n-1)
		}
		d.answers.Store(int64(time.Hour))
		limits := []time.Duration{answerTime + minVariation, 2 * (answerTime + minVariation), maxAnswerTime, maxAnswerTime}
		for i, limit := range limits {
			// The variation of the first sample has not quite vanished.
			if took, ok := d.ask(t, peer.NoFetch); ok || (took-limit).Abs() > time.Millisecond {
				t.Errorf("unanswered request %d: %v after %v, want it to end after %v", i+1, ok, took, limit)
			}
		}
	})
}

// TestAnswersOfFetchingPeers have nothing to do with the others.
func TestAnswersOfFetchingPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDistant(t)
		d.answers.Store(int64(fetchHeaderTimeout))
		for range 10 {
			if _, ok := d.ask(t, peer.FetchAnywhere); !ok {
				t.Error("a peer that is to fetch is not waited for")
			}
		}
		d.answers.Store(int64(time.Hour))
		if took, _ := d.ask(t, peer.NoFetch); took != unknownLimit {
			t.Errorf("another request ends after %v, want %v", took, unknownLimit)
		}
		if took, _ := d.ask(t, peer.FetchFromMirror); took != fetchHeaderTimeout+headerRTTs*unknownRTT {
			t.Errorf("a request to fetch ends after %v", took)
		}
	})
}

// TestLateness: a process that is late waits longer and calls nobody silent.
func TestLateness(t *testing.T) {
	t.Parallel()
	const lag = time.Second
	for _, tt := range []struct {
		name         string
		lag, answers time.Duration
		answered     bool
		stalled      int64
		took         time.Duration
	}{
		{"in time", 0, unknownLimit - 1, true, 0, unknownLimit - 1},
		{"too late", 0, answerTime, false, 1, unknownLimit},
		{"a little lag is allowed for", 100 * time.Millisecond, unknownLimit + 99*time.Millisecond, true, 0, unknownLimit + 99*time.Millisecond},
		{"a little lag hides nobody", 100 * time.Millisecond, time.Hour, false, 1, unknownLimit + 100*time.Millisecond},
		{"a late process", lag, unknownLimit + 2*lag - 1, true, 0, unknownLimit + 2*lag - 1},
		{"a late process waits once more", lag, time.Hour, false, 0, unknownLimit + 2*lag},
		{"a process that was stopped", time.Hour, time.Hour, false, 0, 2 * maxAnswerTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDistant(t)
				d.lag.Store(int64(tt.lag))
				d.answers.Store(int64(tt.answers))
				took, ok := d.ask(t, peer.NoFetch)
				if ok != tt.answered || took != tt.took || d.stalled.Load() != tt.stalled {
					t.Errorf("answered %v after %v, stalled %d times; want %v, %v, %d", ok, took, d.stalled.Load(), tt.answered, tt.took, tt.stalled)
				}
			})
		})
	}
	t.Run("a process that was late", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			d := newDistant(t)
			d.lag.Store(int64(lag))
			d.answers.Store(int64(time.Hour))
			time.AfterFunc(unknownLimit+lag+time.Millisecond, func() { d.lag.Store(0) })
			if _, ok := d.ask(t, peer.NoFetch); ok || d.stalled.Load() != 1 {
				t.Errorf("a silent peer: answered %v, stalled %d times, though this process is in time again", ok, d.stalled.Load())
			}
		})
	})
}

// TestLateReader: a body that comes in time, but is read late, does not stall.
func TestLateReader(t *testing.T) {
	t.Parallel()
	const per = 2 * time.Second
	for _, tt := range []struct {
		name  string
		lag   time.Duration
		pause time.Duration // between bytes
		ok    bool
		calls int // of Stalled
	}{
		{"in time", 0, per - 1, true, 0},
		{"too slow", 0, per + 1, false, 1},
		{"too slow, and a little late here", per / lateShare, per + 1, false, 1},
		{"late here", per/lateShare + 1, per + per/lateShare, true, 0},
		{"silent, and late here", per/lateShare + 1, time.Hour, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				calls := 0
				b := &body{
					watchdog: &watchdog{id: "peer-id", cancel: cancel, stalled: func() { calls++ }, lag: func() time.Duration { return tt.lag }},
					ctx:      ctx, answer: sender{ctx, 1, tt.pause}, left: -1, took: func(int64) {},
					pace: newPacer(peer.Request{Pace: peer.Pace{Bytes: 1, Per: per}}),
				}
				var err error
				for i := 0; i < 10 && err == nil; i++ {
					_, err = b.Read(make([]byte, 1))
				}
				if (err == nil) != tt.ok || calls != tt.calls {
					t.Errorf("got %v, called silent %d times", err, calls)
				}
			})
		})
	}
}

func TestAnswerTimesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{peers: make(map[string]*answerer)}
		a.took("asked often", 2*time.Second)
		for i := range maxAnswerers + 100 {
			time.Sleep(time.Second)
			a.took(fmt.Sprint(i), time.Second)
			a.missed(strings.Repeat("x", i%3)+fmt.Sprint(i), time.Second)
			if got := a.allowed("asked often", 0); got != maxAnswerTime {
				t.Fatalf("a peer that is asked often is allowed %v", got)
			}
		}
		if len(a.peers) != maxAnswerers {
			t.Errorf("%d peers are remembered, want %d", len(a.peers), maxAnswerers)
		}
	})
}
