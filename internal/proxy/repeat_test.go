package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/mirror"
)

// The third answer is the second one's, by another way, and counted as that is.
func TestRepeat(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, maxInline, maxInline + 1, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			testRepeat(t, size)
		})
	}
}

func testRepeat(t *testing.T, size int) {
	b := newRepeating(t, size, nil)
	s := b.session(t)
	first := s.get(t, b.data)
	for range 5 {
		if got := s.get(t, b.data); fmt.Sprint(got) != fmt.Sprint(first) {
			t.Errorf("got %v, before %v", got, first)
		}
	}
	if got := b.session(t).get(t, b.data); fmt.Sprint(got) != fmt.Sprint(first) {
		t.Errorf("on another connection: %v, before %v", got, first)
	}
	if got := b.fetcher.gets.Load(); got != 2 {
		t.Errorf("fetch was asked %d times, want 2", got)
	}
	waitFor(t, "all is counted", func() bool {
		return len(b.access.all()) == 7 && b.UnderWay() == 0 && !b.Busy() && b.fetcher.reused.Load() == 0
	})
	if lines := b.access.all(); len(slices.Compact(lines)) != 1 || b.ledger.total() != int64(7*size) || b.ledger.requests["127.0.0.1 deb.example.org"] != 7 {
		t.Errorf("access log %q, %d bytes and %v requests counted", lines, b.ledger.total(), b.ledger.requests)
	}
}

// Whatever an answer depends on, a change of it has all decided anew.
func TestNotRepeated(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *repeating){
		"the catalog learned something": func(_ *testing.T, b *repeating) { b.catalog.revision.Add(1) },
		"the blob was removed": func(t *testing.T, b *repeating) {
			if err := os.Remove(b.file); err != nil {
				t.Fatal(err)
			}
			b.files[debURL] = holds(t, b.data)
		},
		"the file has another size": func(t *testing.T, b *repeating) {
			if err := os.Truncate(b.file, 10); err != nil {
				t.Fatal(err)
			}
			b.files[debURL] = holds(t, b.data)
		},
		"fetch has more to do": func(_ *testing.T, b *repeating) { b.fetcher.reuse.Store(false) },
		"the client has another generation": func(t *testing.T, b *repeating) {
			b.sessions.set(context.Background(), netip.MustParseAddr("127.0.0.1"), "", mustLocation(t, archiveURL+"dists/stable"), digest.Of([]byte("old")))
		},
		"the box stops":          func(_ *testing.T, b *repeating) { b.repeats.stop() },
		"the lists are replaced": func(_ *testing.T, b *repeating) { b.Replace(mirror.Hosts{}, mirror.Hosts{}) },
		"it was some time ago": func(_ *testing.T, b *repeating) {
			b.repeats.mu.Lock()
			defer b.repeats.mu.Unlock()
			for _, a := range b.repeats.answers {
				a.until = time.Now().Add(-time.Nanosecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRepeating(t, 1000, nil)
			_, s := b.warm(t)
			s.get(t, b.data)
			if got := b.fetcher.gets.Load(); got != 2 {
				t.Fatalf("fetch was asked %d times before, want 2", got)
			}
			change(t, b)
			s.get(t, b.data)
			if got := b.fetcher.gets.Load(); got != 3 {
				t.Errorf("fetch was asked %d times, want 3", got)
			}
		})
	}
}

// An answer that was decided by other lists than those in force when it is complete is not
// kept.
func TestListsReplacedDuringAnAnswer(t *testing.T) {
	t.Parallel()
	b := newRepeating(t, 1000, nil)
	get := b.files[debURL]
	b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
		if b.fetcher.gets.Load() == 2 {
			b.Replace(mirror.Hosts{}, mirror.Hosts{})
		}
		return get(ctx)
	}
	_, s := b.warm(t)
	for range 2 {
		s.get(t, b.data)
		b.rest(t)
	}
	if got := b.fetcher.gets.Load(); got != 3 {
		t.Errorf("fetch was asked %d times, want 3", got)
	}
}

// What not everybody gets in the same way is kept by none.
func TestNotRepeatable(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fetch.File, *catalog.Entry){
		"private":                   func(f *fetch.File, _ *catalog.Entry) { f.Public = false },
		"stale":                     func(f *fetch.File, _ *catalog.Entry) { f.Stale = "the mirror is away" },
		"unknown":                   func(_ *fetch.File, e *catalog.Entry) { e.Kind = catalog.Unknown },
		"an index that is not read": func(_ *fetch.File, e *catalog.Entry) { e.Index = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRepeating(t, 1000, nil)
			e := b.catalog.entries[debURL]
			get := b.files[debURL]
			b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
				f, err := get(ctx)
				change(f, new(catalog.Entry))
				return f, err
			}
			change(new(fetch.File), &e)
			b.catalog.entries[debURL] = e
			s := b.session(t)
			for range 4 {
				s.get(t, b.data)
			}
			if got := b.fetcher.gets.Load(); got != 4 {
				t.Errorf("fetch was asked %d times, want 4", got)
			}
		})
	}
}

// Requests of both kinds, sent at once, are answered in their order.
func TestRepeatInAPipeline(t *testing.T) {
	t.Parallel()
	b := newRepeating(t, 50_000, nil)
	b.files[archiveURL+"pool/other.deb"] = holds(t, pattern(777))
	_, s := b.warm(t)
	other := strings.Replace(plainRequest, debURL, archiveURL+"pool/other.deb", 1)
	all := plainRequest + plainRequest + other + plainRequest + other
	// In two parts, of which the first one ends within a request.
	for _, part := range []string{all[:len(all)-30], all[len(all)-30:]} {
		if _, err := io.WriteString(s, part); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range [][]byte{b.data, b.data, pattern(777), b.data, pattern(777)} {
		t.Log("answer", i)
		s.answer(t, want)
	}
	before := b.fetcher.gets.Load()
	s.get(t, b.data)
	if got := b.fetcher.gets.Load(); got != before {
		t.Error("after these nothing is repeated any more")
	}
}

func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	b := newRepeating(t, 1000, func(o *Options) { o.Repeats = 3 })
	s := b.session(t)
	var kept []*repeat
	for n := range 10 {
		url := fmt.Sprintf("%spool/%d.deb", archiveURL, n)
		data := pattern(1000 + n)
		b.files[url] = holds(t, data)
		b.catalog.mu.Lock()
		b.catalog.entries[url] = catalog.Entry{Kind: catalog.Content, Digest: digest.Of(data), Size: int64(len(data))}
		b.catalog.mu.Unlock()
		for range 2 {
			if _, err := io.WriteString(s, strings.Replace(plainRequest, debURL, url, 1)); err != nil {
				t.Fatal(err)
			}
			s.answer(t, data)
			b.rest(t)
		}
		b.repeats.mu.Lock()
		kept = append(kept, b.repeats.order.Back().Value.(*repeat))
		if n := len(b.repeats.answers); n > 3 || n != b.repeats.order.Len() {
			t.Errorf("%d answers are kept", n)
		}
		b.repeats.mu.Unlock()
	}
	for n, a := range kept {
		if _, err := a.file.Stat(); errors.Is(err, fs.ErrClosed) != (n < 7) {
			t.Errorf("file %d: %v", n, err)
		}
	}
	// Nor do generations of clients without end cost more.
	for n := range 20 {
		b.repeats.mu.Lock()
		a := b.repeats.order.Back().Value.(*repeat)
		if len(a.seen) > maxSeen {
			t.Errorf("%d generations are told apart", len(a.seen))
		}
		b.repeats.mu.Unlock()
		b.sessions.set(context.Background(), netip.MustParseAddr("127.0.0.1"), "", catalog.Location{}, digest.Of([]byte{byte(n)}))
		if _, err := io.WriteString(s, strings.Replace(plainRequest, debURL, archiveURL+"pool/9.deb", 1)); err != nil {
			t.Fatal(err)
		}
		s.answer(t, pattern(1009))
	}
}

// A client that takes nothing of a repeated answer is cut off, and counted with what it took.
func TestStalledRepeat(t *testing.T) {
	t.Parallel()
	b := newRepeating(t, 32<<20, nil)
	_, s := b.warm(t)
	b.stall = 100 * time.Millisecond
	if _, err := io.WriteString(s, plainRequest); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the client was cut off", func() bool { return len(b.access.all()) == 3 })
	got, _ := io.Copy(io.Discard, s.in)
	if got >= 32<<20 || b.ledger.total() >= 96<<20 || !strings.Contains(b.access.all()[2], "200 left store") {
		t.Errorf("%d bytes came, %d are counted, %q", got, b.ledger.total(), b.access.all())
	}
	if b.fetcher.gets.Load() != 2 {
		t.Error("it was not repeated")
	}
}

// The stall limit of one answer is not in force for the next one.
func TestRepeatAfterTheStallLimit(t *testing.T) {
	t.Parallel()
	b := newRepeating(t, 16<<20, nil) // more than the sockets hold, so that the client is waited for
	_, s := b.warm(t)
	b.stall = 3 * time.Second
	s.get(t, b.data)
	passed := time.Now().Add(b.stall)
	waitFor(t, "the limit has passed", func() bool { return time.Now().After(passed) })
	s.get(t, b.data)
	if got := b.fetcher.gets.Load(); got != 2 {
		t.Errorf("fetch was asked %d times, want 2", got)
	}
}

// An answer that is being repeated when the box stops is sent to its end.
func TestStopWhileRepeating(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			t.Parallel()
			b := newRepeating(t, 32<<20, nil)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			b.addr = l.Addr().String()
			server := b.serveOn(t, l)
			_, s := b.warm(t)
			if _, err := io.WriteString(s, plainRequest); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the answer is under way", func() bool { return b.UnderWay() == 1 })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			if cut {
				cancel()
				if err := b.Shutdown(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("Shutdown returned %v", err)
				}
				if got, _ := io.Copy(io.Discard, s.in); got >= 32<<20 {
					t.Error("all was sent")
				}
				return
			}
			done := make(chan error, 1)
			go func() { done <- b.Shutdown(ctx) }()
			s.answer(t, b.data)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if _, err := s.in.ReadByte(); err != io.EOF {
				t.Errorf("after the answer: %v", err)
			}
		})
	}
}

// early is a listener whose connections tell when net/http reads a byte ahead.
type early struct {
	net.Listener
	read chan struct{}
}

func (l early) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return earlyConn{conn.(*net.TCPConn), l.read}, nil
}

type earlyConn struct {
	*net.TCPConn
	read chan struct{}
}

func (c earlyConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n == 1 && len(b) == 1 {
		c.read <- struct{}{}
	}
	return n, err
}

// A request that comes while net/http still answers the one before is repeated, too.
func TestRepeatForAQuickClient(t *testing.T) {
	t.Parallel()
	b := newRepeating(t, 1000, nil)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := early{raw, make(chan struct{})}
	b.addr = l.Addr().String()
	b.serveOn(t, l)
	_, s := b.warm(t)
	slow := archiveURL + "pool/slow.deb"
	release := make(chan struct{})
	get := holds(t, pattern(777))
	b.files[slow] = func(ctx context.Context) (*fetch.File, error) {
		<-release
		return get(ctx)
	}
	if _, err := io.WriteString(s, strings.Replace(plainRequest, debURL, slow, 1)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first request is under way", func() bool { return b.UnderWay() == 1 })
	if _, err := io.WriteString(s, plainRequest); err != nil {
		t.Fatal(err)
	}
	<-l.read
	close(release)
	s.answer(t, pattern(777))
	s.answer(t, b.data)
	if got := b.fetcher.gets.Load(); got != 3 {
		t.Errorf("fetch was asked %d times, want 3", got)
	}
}
