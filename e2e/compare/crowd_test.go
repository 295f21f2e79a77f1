package compare

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

const (
	// crowdLine is the line to the clients, in Mbit/s, and crowdPayload how much of that
	// is the files': of 1,514 bytes on the wire, 1,448.
	crowdLine    = 2000
	crowdPayload = 1448.0 / 1514
)

// crowdWorks has many clients ask at once for a large file that no subject holds, over a line
// that they share.
func crowdWorks(t *testing.T, r *results) {
	size, clients := int64(coldSize), 50
	if r.short {
		size, clients = 4_000_000, 8
	}
	w := box.NewNetwork(t, 93)
	host := w.Host()
	host.LimitIncoming(crowdLine)
	listenIP = w.IP
	defer func() { listenIP = "127.0.0.1" }()
	l, err := net.Listen("tcp", freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	s := newSiteAt(t, l, []int64{size})
	fair := float64(clients) * float64(size) * 8 / (crowdLine * 1e6 * crowdPayload)
	work := fmt.Sprintf("%s, cold, %d clients at once", megabytes(size), clients)
	r.describe(work, fmt.Sprintf("They ask for one file that no subject holds, over a line of %d Mbit/s, which would give each its file "+
		"in %.1f s. The slowest client counts; copies are what the mirror sends. The bare server holds the file. One round.", crowdLine, fair))
	for _, sub := range s.subjects { // one after the other, with -short too: they share the line
		f, err := crowdTurn(t.Context(), host, s, sub, clients)
		if err != nil {
			t.Fatalf("%s: %v", sub.name, err)
		}
		f["share"] = f["seconds"] / fair
		r.note(work, sub.name, f)
		t.Logf("%s, %s: %v", work, sub.name, f)
	}
	r.expect(target{work: work, measure: "copies", limit: 1.0, what: "copies that the mirror sends"})
	r.expect(target{work: work, measure: "share", limit: 1.2, what: "time of a fair share, of the slowest client"})
}

func crowdTurn(ctx context.Context, from *box.Host, s *site, sub subject, clients int) (figures, error) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DialContext: from.Dial, MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	sent, f := s.sent.Load(), s.files[0]
	used, err := cost(sub)
	if err != nil {
		return nil, err
	}
	took, faults := make([]time.Duration, clients), make([]error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			d, err := download(client, sub.of(s.mirror)+f.path, f.size)
			took[i], faults[i] = d.all, err
		})
	}
	all.Wait()
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	// From here, so that it is not among the time.
	if err := check(http.DefaultClient, sub.of(s.mirror)+f.path, f); err != nil {
		return nil, err
	}
	out := figures{"seconds": slices.Max(took).Seconds(), "copies": float64(s.sent.Load()-sent) / float64(f.size)}
	return out, used(out)
}
