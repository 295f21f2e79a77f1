package load

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	quickClients = 8
	quickRest    = 10 * time.Millisecond // of each between two files
)

// quick are clients that get small files at a server one after another, while others
// load it.
type quick struct {
	t       *testing.T
	http    *http.Client
	targets []string
}

// newQuick returns clients of a server: through it as a proxy if proxy is not empty.
func newQuick(t *testing.T, proxy string, targets []string) *quick {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: quickClients}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		transport.Proxy = http.ProxyURL(u)
	}
	q := &quick{t: t, http: &http.Client{Transport: transport, Timeout: time.Minute}, targets: targets}
	t.Cleanup(q.http.CloseIdleConnections)
	return q
}

// pace is how quick clients are served.
type pace struct {
	rate        float64 // files a second
	median, p99 time.Duration
}

func (p pace) String() string {
	return fmt.Sprintf("%.0f files/s (median %.1f ms, 99 %% in %.1f ms)", p.rate, 1e3*p.median.Seconds(), 1e3*p.p99.Seconds())
}

// run has the clients get files for a time.
func (q *quick) run(length time.Duration) pace {
	q.t.Helper()
	var working sync.WaitGroup
	took := make([][]time.Duration, quickClients)
	begun := time.Now()
	for i := range quickClients {
		working.Go(func() {
			for n := i; time.Since(begun) < length; n++ {
				asked := time.Now()
				if err := q.get(q.targets[n%len(q.targets)]); err != nil {
					q.t.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(asked))
				time.Sleep(quickRest)
			}
		})
	}
	working.Wait()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(all) == 0 {
		q.t.Fatal("quick clients got nothing")
	}
	return pace{float64(len(all)) / time.Since(begun).Seconds(), all[len(all)/2], all[len(all)*99/100]}
}

// runAs is run, and up to two times more while the clients are served far worse than
// before: the machine may be busy with something else for a moment.
func (q *quick) runAs(before pace, length time.Duration) (best pace) {
	q.t.Helper()
	for range 3 {
		if p := q.run(length); p.rate > best.rate {
			best = p
		}
		if best.rate >= leastShare*before.rate {
			break
		}
	}
	return best
}

func (q *quick) get(target string) error {
	resp, err := q.http.Get(target)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", target, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
