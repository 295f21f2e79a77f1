package daily

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sum is the simplest figures.
type sum int64

func (s sum) Plus(o sum) sum { return s + o }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openTable(tb testing.TB) (*kv.DB, *kv.Table) {
	tb.Helper()
	db, err := kv.Open(tb.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db, db.Table("daily")
}

func openBook(tb testing.TB, t *kv.Table) *Book[sum] {
	tb.Helper()
	b, err := Open[sum](t, 'x')
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// reopened is the book as it is after a flush and a restart.
func reopened(tb testing.TB, b *Book[sum]) *Book[sum] {
	tb.Helper()
	if err := b.Flush(); err != nil {
		tb.Fatal(err)
	}
	return openBook(tb, b.table)
}

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

func TestDays(t *testing.T) {
	t.Parallel()
	_, table := openTable(t)
	b := openBook(t, table)
	for day := range 40 {
		b.Count(start.AddDate(0, 0, day), "a.example.org", sum(1)<<day, addr(1), 1)
	}
	now := start.AddDate(0, 0, 39)
	for range 2 {
		h := b.Hosts(now, 7)[0]
		if want := sum(0x7f) << 33; h.Sum != want || len(h.Days) != 7 || h.Ever != sum(1)<<40-1 {
			t.Errorf("a week has %b in %d days, want %b; ever %b", h.Sum, len(h.Days), want, h.Ever)
		}
		if d := h.Days[6]; d.Sum != 1<<39 || !d.Start.Equal(now.Truncate(24*time.Hour)) {
			t.Errorf("today is %+v", d)
		}
		if h := b.Hosts(now, 1000)[0]; len(h.Days) != MaxDays || !h.First.Equal(start) || !h.Last.Equal(now) {
			t.Errorf("%d days are kept, from %v to %v", len(h.Days), h.First, h.Last)
		}
		b = reopened(t, b)
	}
	if h := b.Hosts(now.AddDate(0, 0, 31), MaxDays)[0]; h.Sum != 0 || len(h.Days) != 0 {
		t.Errorf("a month later the sum is %d", h.Sum)
	}
}

// A clock that is set back counts where it is.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	_, table := openTable(t)
	b := openBook(t, table)
	b.Count(start.AddDate(0, 0, 3), "a.example.org", 1, netip.Addr{}, 0)
	b.Count(start, "a.example.org", 2, netip.Addr{}, 0)
	b.Count(time.Unix(-5, 0), "a.example.org", 4, netip.Addr{}, 0)
	h := b.Hosts(start, 31)[0]
	if len(h.Days) != 2 || h.Days[0].Sum != 2 || h.Days[1].Sum != 1 || h.Ever != 7 {
		t.Errorf("%+v", h)
	}
}

// However many hosts and clients there are, the records stay few, and no figure is lost.
func TestBounds(t *testing.T) {
	t.Parallel()
	_, table := openTable(t)
	b := openBook(t, table)
	b.Count(start, "kept.example.net", 1, addr(0), 1)
	b.Count(start.Add(2*time.Hour), "kept.example.net", 1, addr(0), 1)
	var want sum = 2
	for i := range 3 * MaxHosts {
		b.Count(start.Add(time.Duration(i)*time.Second), fmt.Sprintf("h%d.flood.example", i), 1, addr(i), 1)
		want++
	}
	for _, host := range []string{"", strings.Repeat("x", maxName+1)} {
		b.Count(start, host, 1, netip.Addr{}, 0)
		want++
	}
	for i := range 2 * maxClients {
		b.Count(start.Add(time.Duration(i)*time.Hour), "kept.example.net", 1, addr(i), 1)
		want++
	}
	for range 2 {
		hosts := b.Hosts(start.AddDate(0, 0, 1), MaxDays)
		if len(hosts) > MaxHosts+1 {
			t.Errorf("%d records, more than %d", len(hosts), MaxHosts+1)
		}
		var all sum
		found := false
		for _, h := range hosts {
			all += h.Ever
			if len(h.Clients) > maxClients {
				t.Errorf("%s has %d clients", h.Name, len(h.Clients))
			}
			if h.Name == "kept.example.net" {
				found = true
				if first := h.Clients[0].Addr; first != addr(2*maxClients-1) {
					t.Errorf("its latest client is %s", first)
				}
			}
		}
		if all != want || !found {
			t.Errorf("the sum is %d, want %d; the host used for long is kept: %v", all, want, found)
		}
		b = reopened(t, b)
	}
}

// A flush that fails is made up for by the next one.
func TestFlushFails(t *testing.T) {
	t.Parallel()
	closed, broken := openTable(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	_, table := openTable(t)
	b := openBook(t, table)
	b.Count(start, "a.example.org", 1, netip.Addr{}, 0)
	b.table = broken
	if b.Flush() == nil {
		t.Error("a flush to a closed database succeeded")
	}
	b.table = table
	if all := reopened(t, b).Hosts(start, 1); len(all) != 1 || all[0].Sum != 1 {
		t.Errorf("after it there is %+v", all)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	_, table := openTable(t)
	b := openBook(t, table)
	b.Count(start, "a.example.org", 1, addr(1), 1)
	b.Count(start.Add(time.Hour), "a.example.org", 1, addr(2), 1)
	b = reopened(t, b)
	old := func(_ netip.Addr, first int64) bool { return first < start.Add(time.Minute).Unix() }
	if !b.Forget(old) || b.Forget(old) {
		t.Error("the old client is not forgotten once")
	}
	if got := reopened(t, b).Hosts(start, 1)[0]; len(got.Clients) != 1 || got.Clients[0].Addr != addr(2) || got.Ever != 2 {
		t.Errorf("left is %+v", got)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	_, table := openTable(t)
	b := openBook(t, table)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 200 {
				b.Count(start, "a.example.org", 1, addr(i), 1)
				b.Hosts(start, 1)
			}
		})
	}
	all.Go(func() {
		for range 20 {
			if err := b.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if got := reopened(t, b).Hosts(start, 1)[0].Sum; got != 800 {
		t.Errorf("%d counted of 800", got)
	}
}

// The largest flush fits into its transactions.
func TestLargestFlush(t *testing.T) {
	t.Parallel()
	_, table := openTable(t)
	b := openBook(t, table)
	for i := range MaxHosts {
		host := fmt.Sprintf("%0*d.example.org", maxName-len(".example.org"), i)
		for day := range MaxDays {
			b.Count(start.AddDate(0, 0, day), host, 1<<40, netip.MustParseAddr(fmt.Sprintf("fd00:1111:2222:3333:4444:5555:6666:%x", day)), 1<<40)
		}
	}
	if err := b.Flush(); errors.Is(err, kv.ErrTxnTooBig) || err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"first":1,"last":2,"ever":3,"days":[{"day":1,"sum":3}],"clients":[{"addr":"10.0.0.1","first":1,"last":2,"bytes":3}]}`))
	f.Add([]byte(`{"days":[{"day":2,"sum":1},{"day":1,"sum":1}],"clients":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode[sum](b)
		if err != nil {
			return
		}
		book := &Book[sum]{hosts: map[string]*record[sum]{"a": r}, changed: make(map[string]struct{})}
		book.Count(start, "a", 1, addr(1), 1)
		if got := book.Hosts(start, MaxDays); len(got[0].Days) > MaxDays || len(got[0].Clients) > maxClients {
			t.Errorf("%d days, %d clients", len(got[0].Days), len(got[0].Clients))
		}
	})
}
