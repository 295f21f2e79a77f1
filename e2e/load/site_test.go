package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
)

// site is a box, its mirror and its clients, who note what they get.
type site struct {
	t       *testing.T
	archive *archive
	origin  *origin // asked by the box alone
	box     *box.Box
	books   *books

	working sync.WaitGroup
	pause   chan struct{} // closed to have the clients end what they are at
	absent  atomic.Int64  // names of files that do not exist
}

func newSite(t *testing.T, settings ...string) *site {
	t.Helper()
	s := &site{t: t, archive: newArchive(t), books: newBooks(), pause: make(chan struct{})}
	s.origin = newOrigin(t, s.archive.mirror)
	s.box = box.Start(t, append([]string{
		"MILLPOND_KEYRING_DIR=" + s.archive.keys, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8", "MILLPOND_INDEX_TTL=1s",
	}, settings...)...)
	return s
}

// url is that of a path at the box's mirror.
func (s *site) url(path string) string { return "http://" + s.origin.addr + path }

// work has n clients of a kind do something again and again, with a rest in between.
func (s *site) work(n int, kind string, rest time.Duration, do func(c *client, r *rand.Rand)) {
	for i := range n {
		c := newClient(s.t, s.books, s.box.URL, kind, s.archive.isRight)
		r := rand.New(rand.NewPCG(uint64(i), uint64(len(kind))))
		pause := s.pause
		s.working.Go(func() {
			for {
				select {
				case <-pause:
					return
				case <-time.After(time.Duration(float64(rest) * (0.5 + r.Float64()))):
					do(c, r)
				}
			}
		})
	}
}

// rest has all clients end what they are at.
func (s *site) rest() {
	close(s.pause)
	s.working.Wait()
	s.pause = make(chan struct{})
}

// audit is the ledger beside what clients and the mirror counted.
type audit struct {
	exact, exactLedger   int64 // of clients that read to the end of all that they asked for
	others, othersLedger int64
	missing              int64 // at most, of others
	addresses            int   // of others
	total                int64 // of the ledger
	read, taken, sent    int64 // of the mirror: surely read, in the ledger, sent
}

// audit reads the ledger.
func (s *site) audit() (audit, error) {
	a := audit{}
	ledger := make(map[netip.Addr]int64)
	for offset := 0; ; offset += 200 {
		var page api.Page[api.Account]
		if err := json.Unmarshal(s.box.Get(fmt.Sprintf("/api/v1/clients?sort=name&limit=200&offset=%d", offset)), &page); err != nil {
			return a, err
		}
		for _, account := range page.Items {
			addr, err := netip.ParseAddr(account.Name)
			if err != nil {
				return a, err
			}
			ledger[addr] = account.ClientBytes
		}
		if len(page.Items) == 0 {
			break
		}
	}
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	for addr, account := range s.books.accounts {
		in := ledger[addr]
		delete(ledger, addr)
		if account.missing == 0 {
			a.exact += account.received
			a.exactLedger += in
			if account.received != in {
				return a, fmt.Errorf("%v received %d bytes, and the ledger has %d", addr, account.received, in)
			}
			continue
		}
		a.addresses++
		a.others += account.received
		a.othersLedger += in
		a.missing += account.missing
		if in < account.received || in > account.received+account.missing {
			return a, fmt.Errorf("%v received %d bytes, and not %d more at most that it was sent; the ledger has %d", addr, account.received, account.missing, in)
		}
	}
	for addr, in := range ledger {
		if in > 0 {
			return a, fmt.Errorf("the ledger has %d bytes for %v, which is no client", in, addr)
		}
	}
	summary := s.box.Summary()
	a.total, a.taken = summary.ClientBytes, summary.MirrorBytes
	if a.total != a.exactLedger+a.othersLedger {
		return a, fmt.Errorf("the ledger has %d bytes to all clients, and %d to each together", a.total, a.exactLedger+a.othersLedger)
	}
	if summary.Downloads > 0 {
		return a, fmt.Errorf("%d downloads are running", summary.Downloads)
	}
	a.read, a.sent = s.origin.figures()
	if a.taken < a.read || a.taken > a.sent {
		return a, fmt.Errorf("the mirror sent %d bytes, of which %d were surely read, and the ledger has %d", a.sent, a.read, a.taken)
	}
	return a, nil
}

// balance waits until what is under way has ended and the ledger agrees with the clients
// and the mirror. If to the byte, nothing may have been cut.
func (s *site) balance(when string, toTheByte bool) audit {
	s.t.Helper()
	var a audit
	err := poll.Until(s.t.Context(), 10*time.Second, "the ledger agrees "+when, func() (err error) {
		if a, err = s.audit(); err == nil && toTheByte && (a.missing > 0 || a.read != a.sent) {
			return fmt.Errorf("something was cut: %+v", a)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	s.t.Logf("%s: clients that read to the end received %d bytes, by the ledger %d; %d other addresses received %d, by the ledger %d, at most %d more; "+
		"the mirror sent %d bytes, by the ledger %d, surely read %d",
		when, a.exact, a.exactLedger, a.addresses, a.others, a.othersLedger, a.missing, a.sent, a.taken, a.read)
	return a
}

// hold has the box get all files of a kind, and returns their URLs.
func (s *site) hold(kind string) []string {
	s.t.Helper()
	c := newClient(s.t, s.books, s.box.URL, "first", s.archive.isRight)
	paths := []string{"/debian/" + release}
	s.archive.mu.Lock()
	paths = append(append(paths, s.archive.present["indices"]...), s.archive.present[kind]...)
	s.archive.mu.Unlock()
	var urls []string
	for i, path := range paths {
		if status, _, err := c.get(s.t.Context(), s.url(path), how{}); err != nil || status != http.StatusOK {
			s.t.Fatalf("%s: %d, %v", path, status, err)
		}
		if i >= len(paths)-len(s.archive.present[kind]) {
			urls = append(urls, s.url(path))
		}
	}
	return urls
}

// addressOf is an address of this machine for client i.
func addressOf(i int) string { return fmt.Sprintf("127.2.%d.%d", i/200, 1+i%200) }
