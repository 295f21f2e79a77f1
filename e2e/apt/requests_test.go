package apt

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// updaters is how many clients update, unlistedFile what they fetch besides.
const (
	updaters     = 8
	unlistedFile = "dists/stable/unlisted.bin"
)

// The box's figures of requests are those of the mirror's own log, by status, and
// what it avoided is what the clients asked for when they went direct, less what
// the box asked for in their place.
func TestRequestsAreCounted(t *testing.T) {
	for _, form := range []string{"InRelease", "Release"} {
		t.Run(form, func(t *testing.T) {
			s := newSite(t, "MILLPOND_INDEX_TTL=1h")
			direct := aptest.NewMirror(t, aptest.MirrorOptions{})
			for _, m := range []*aptest.Mirror{s.mirror, direct} {
				m.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Minute)))
				m.Put("/debian/"+unlistedFile, make([]byte, 1000), time.Now().Add(-time.Hour))
				if form == "Release" {
					m.Inject("*/InRelease", aptest.Status(404))
				}
			}
			s.updateAll(t, direct, "DIRECT")
			s.updateAll(t, s.mirror, s.box.URL)
			wanted := requested(direct.Log())
			maps.DeleteFunc(wanted, func(name string, _ int) bool { // what has a digest is never revalidated
				return !strings.Contains(name, "Release") && name != path.Base(unlistedFile)
			})
			var avoided int
			poll.Must(t, 30*time.Second, "the figures are the mirror's", func() error {
				log := s.mirror.Log()
				want := statuses(log)
				if got := s.byMetrics(t); !maps.Equal(got, want) {
					return fmt.Errorf("metrics say %v, the mirror %v", got, want)
				}
				if got := s.byHost(t); !maps.Equal(got, want) {
					return fmt.Errorf("the API says %v, the mirror %v", got, want)
				}
				avoided = 0
				sent := requested(log)
				for name, n := range wanted {
					if name == "Release.gpg" { // asked for beside an unchanged Release, too, which no client does
						sent[name] = 1
					}
					avoided += n - sent[name]
				}
				if sum := s.box.Summary(); sum.AvoidedRequests != int64(avoided) || sum.MirrorRequests != int64(len(log)) {
					return fmt.Errorf("the box counts %d requests and %d avoided, want %d and %d: direct %v, through the box %v",
						sum.MirrorRequests, sum.AvoidedRequests, len(log), avoided, wanted, sent)
				}
				return nil
			})
			got := statuses(s.mirror.Log())
			// No 304 for what is new: the validators of its Release are not proved yet.
			if got["200"] == 0 || got["404"] == 0 && form == "Release" {
				t.Errorf("the mirror answered %v", got)
			}
			if avoided < 2*updaters {
				t.Errorf("%d revalidations avoided of %v", avoided, wanted)
			}
		})
	}
}

// updateAll has all clients update, together, then once more, fetch an unlisted
// file, and one of them update with No-Cache after a second.
func (s *site) updateAll(t *testing.T, m *aptest.Mirror, proxy string) {
	t.Helper()
	var clients []*aptest.Client
	for range updaters {
		c := aptest.NewClient(t)
		c.Trust(s.key)
		c.Proxy(proxy)
		c.Sources(m.Source("/debian", "stable", "main"))
		clients = append(clients, c)
	}
	for range 2 {
		var all sync.WaitGroup
		for _, c := range clients {
			all.Go(func() {
				if out, err := c.Apt(t.Context(), "update"); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				fetchUnlisted(t, m.URL("/debian/"+unlistedFile), proxy)
			})
		}
		all.Wait()
	}
	time.Sleep(time.Second) // the box asks once a second
	clients[0].MustApt("update", "-o", "Acquire::http::No-Cache=true")
}

func fetchUnlisted(t *testing.T, file, proxy string) {
	var through http.Transport
	if proxy != "DIRECT" {
		at, err := url.Parse(proxy)
		if err != nil {
			t.Error(err)
			return
		}
		through.Proxy = http.ProxyURL(at)
	}
	defer through.CloseIdleConnections()
	resp, err := (&http.Client{Transport: &through}).Get(file)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != 1000 || err != nil {
		t.Errorf("%s: %d bytes, %v", file, n, err)
	}
}

// requested counts requests by the file's name.
func requested(log []aptest.Request) map[string]int {
	all := make(map[string]int)
	for _, r := range log {
		all[path.Base(r.Path)]++
	}
	return all
}

// statuses counts requests by status.
func statuses(log []aptest.Request) map[string]int {
	all := make(map[string]int)
	for _, r := range log {
		all[strconv.Itoa(r.Status)]++
	}
	return all
}

var requestsOf = regexp.MustCompile(`(?m)^millpond_mirror_requests_total\{host="([^"]*)",status="([^"]*)"\} (\d+)$`)

// byMetrics reads the requests by status from the box's metrics.
func (s *site) byMetrics(t *testing.T) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for _, m := range requestsOf.FindAllStringSubmatch(string(s.box.Get("/metrics")), -1) {
		if m[1] != s.mirror.Addr() {
			t.Errorf("requests of %s, which is not the mirror", m[1])
		}
		all[m[2]], _ = strconv.Atoi(m[3])
	}
	return all
}

// byHost reads them from the box's list of hosts.
func (s *site) byHost(t *testing.T) map[string]int {
	t.Helper()
	var hosts api.Page[api.Host]
	if err := json.Unmarshal(s.box.Get("/api/v1/hosts"), &hosts); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int)
	for _, h := range hosts.Items {
		for _, a := range h.Answers {
			all[a.Status] += int(a.Requests)
		}
	}
	return all
}

// MILLPOND_MIRROR_RATE holds what comes from the mirror to its rate, at the hours of
// the box's own zone, and nothing else.
func TestMirrorRate(t *testing.T) {
	const rate, size = 1_000_000, 1000 << 11 // of pkg11
	const zone = "Pacific/Kiritimati"        // 14 hours before UTC
	at, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	h := time.Now().In(at).Hour()
	s := newSite(t, fmt.Sprintf("MILLPOND_MIRROR_RATE=1MB/s@%02d-%02d", (h+23)%24, (h+2)%24), "TZ="+zone)
	install := func() time.Duration {
		c := s.client(t)
		c.MustApt("update")
		start := time.Now()
		c.MustApt("install", "--download-only", "pkg11")
		return time.Since(start)
	}
	// A twentieth of a second's bytes may come at once.
	if took, least := install(), (size-rate/20)*time.Second/rate; took < least {
		t.Errorf("%d bytes at %d a second took %v, want %v", size, rate, took, least)
	}
	sent := s.mirror.BytesSent("*.deb")
	install()
	if more := s.mirror.BytesSent("*.deb") - sent; more != 0 {
		t.Errorf("the second client had the mirror send %d bytes more", more)
	}
}
