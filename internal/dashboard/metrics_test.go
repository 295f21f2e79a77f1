package dashboard

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/ledger"
)

// manyHosts is a Ledger of a flood of hosts.
type manyHosts struct {
	figures
	first, n int
}

func (m manyHosts) Hosts(string) iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {
		for i := range m.n {
			if !yield(ledger.Account{Name: fmt.Sprintf("h%d.example.org", m.first+i), Answers: []ledger.Answer{{Status: 200, Requests: 1}, {Status: 304, Requests: 1}}}, nil) {
				return
			}
		}
	}
}

func (m manyHosts) Tunnels(time.Time, int) (all []ledger.TunnelHost) {
	for i := range m.n {
		all = append(all, ledger.TunnelHost{Name: fmt.Sprintf("h%d.example.org:443", m.first+i), Ever: ledger.TunnelFigures{Bytes: 1}})
	}
	return all
}

func (m manyHosts) Mirrors(time.Time, int) (all []ledger.MirrorHost) {
	for i := range m.n {
		h := ledger.MirrorHost{Name: fmt.Sprintf("h%d.example.org", m.first+i), Ever: ledger.MirrorFigures{Clients: ledger.Load{Requests: 3, Bytes: 5}}}
		for class := range h.Ever.ByClass {
			h.Ever.ByClass[class].Bytes = 1
		}
		all = append(all, h)
	}
	return all
}

// However many hosts and suites there are, the series are few, no counter goes back, and
// none of what is counted is missing.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	o := options()
	var suites []catalog.SuiteInfo
	for i := range 3 * maxSuiteMetrics {
		suites = append(suites, catalog.SuiteInfo{
			Location: catalog.Location{Scheme: "http", Host: "deb.example.org", Path: fmt.Sprintf("/debian/dists/s%d", i)},
			Current:  catalog.Generation{Date: since}, Used: since.Add(time.Duration(i) * time.Second),
		})
	}
	o.Catalog = known{suites: suites}
	d := New(o)
	before := make(map[string]float64)
	c := newCollector(d)
	for _, m := range []manyHosts{{n: 50}, {n: 3000}, {first: 2000, n: 3000}} {
		d.ledger = m
		got := gatheredBy(t, c)
		var requests, tunnelled, sent float64
		for name, v := range got {
			switch {
			case strings.HasPrefix(name, "millpond_mirror_requests_total "):
				requests += v
			case strings.HasPrefix(name, "millpond_tunnel_host_bytes_total "):
				tunnelled += v
			case strings.HasPrefix(name, "millpond_mirror_answer_bytes_total "):
				sent += v
			}
		}
		if n := float64(m.n); requests != 2*n || tunnelled != n || sent != 6*n {
			t.Errorf("%d hosts have %v requests, %v bytes through tunnels, %v sent", m.n, requests, tunnelled, sent)
		}
		if most := 11*(maxLabelled+1) + maxLabelled + 1 + 3*maxSuiteMetrics + 100; len(got) > most {
			t.Errorf("%d series, more than %d", len(got), most)
		}
		if m.first == 0 {
			for name, v := range before {
				if strings.Contains(name, "_total ") && got[name] < v {
					t.Errorf("%s went from %v back to %v", name, v, got[name])
				}
			}
		}
		before = got
	}
	if got := before; got["millpond_suite_release_timestamp_seconds "+suites[len(suites)-1].Location.String()] != float64(since.Unix()) || got["millpond_suite_release_timestamp_seconds "+suites[0].Location.String()] != 0 {
		t.Error("the suites with series are not those used last")
	}
}

func TestSuiteMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil) // its mirror does not answer
	text := r.do(t, http.MethodGet, "/metrics", "", "").Body.String()
	const of = `{suite="http://deb.example.org/debian/dists/trixie"}`
	at := fmt.Sprintf(" %v\n", float64(since.Unix()))
	for _, line := range []string{
		"millpond_suite_release_timestamp_seconds" + of + at, "millpond_suite_checked_timestamp_seconds" + of + at, "millpond_suite_fresh" + of + " 0\n",
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

// A request that got no answer has no first byte.
func TestMeasured(t *testing.T) {
	t.Parallel()
	d := New(options(api.Fault{What: "disk"}))
	d.Measured("hit", 3*time.Millisecond, 2*time.Second)
	d.Measured("left", 0, time.Second)
	w := askOf(d, http.MethodGet, "/metrics", "box").Body.String()
	for _, line := range []string{
		`millpond_first_byte_seconds_bucket{outcome="hit",le="0.0025"} 0`, `millpond_first_byte_seconds_bucket{outcome="hit",le="0.005"} 1`,
		`millpond_request_duration_seconds_sum{outcome="hit"} 2`, `millpond_request_duration_seconds_count{outcome="left"} 1`,
	} {
		if !strings.Contains(w, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, w)
		}
	}
	if strings.Contains(w, `millpond_first_byte_seconds_count{outcome="left"}`) {
		t.Error("an answer that was never sent has a first byte")
	}
}
