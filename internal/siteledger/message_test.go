package siteledger

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

// greatest is a report with as much of everything as one may have.
func greatest() *Report {
	counts := func() (c ledger.Counts) {
		for _, v := range countFields(&c) {
			*v = maxFigure
		}
		return c
	}
	r := &Report{
		Ledger: 1<<64 - 1, Version: strings.Repeat("v", maxVersion), Began: maxSeconds, Counts: counts(), Rates: counts(),
		Holdings: Holdings{maxFigure, maxFigure, maxFigure, maxFigure}, Clients: maxAccounts, Packages: maxAccounts, Suites: maxFigure,
		Name: strings.Repeat("n", maxNameBytes), Serves: netip.MustParseAddrPort("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"), DetailsVersion: 1<<64 - 1, namesVersion: 1<<64 - 1, more: true,
	}
	for range maxFaults {
		r.Faults = append(r.Faults, api.Fault{What: strings.Repeat("w", maxWhat), Why: strings.Repeat("y", maxWhy), Fatal: true, Urgent: true})
	}
	r.details = &details{clientsTold: true, clients: newSketch(hashesUpTo(maxSketch)), packages: newSketch(hashesUpTo(maxSketch))}
	for range maxSuites {
		r.details.suites = append(r.details.suites, Suite{strings.Repeat("u", maxURL), "expired", time.Unix(maxSeconds, 0).UTC()})
	}
	for range maxTop {
		r.details.top = append(r.details.top, Package{strings.Repeat("p", maxPackage), counts()})
	}
	for range maxNames {
		r.names = append(r.names, name{"b" + strings.Repeat("k", maxNameKey-1), strings.Repeat("漢", maxNameLength), maxFigure})
	}
	for step := range r.series {
		for i := range maxPoints {
			start := time.Unix(1<<36/length[step]*length[step]+int64(i)*length[step], 0).UTC()
			r.series[step] = append(r.series[step], ledger.Point{Start: start, Counts: counts()})
		}
	}
	return r
}

// The longest report that a box sends is one that swarm carries, 1 MiB.
func TestGreatestReport(t *testing.T) {
	t.Parallel()
	b := greatest().encode()
	if len(b) > 1<<20 {
		t.Errorf("%d bytes", len(b))
	}
	got, err := parseReport(b)
	if err != nil || !reflect.DeepEqual(got, greatest()) {
		t.Errorf("it is read as another one: %v", err)
	}
	q := question{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, [steps]int64{maxSeconds, maxSeconds, maxSeconds}, true, true, true}
	if got, err := parseQuestion(q.encode()); err != nil || got != q || len(q.encode()) > 1<<10 {
		t.Errorf("%d bytes, %+v, %v", len(q.encode()), got, err)
	}
}

// One of anything more is too much.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(r *Report){
		"version":  func(r *Report) { r.Began = maxSeconds + 1 },
		"faults":   func(r *Report) { r.Faults = append(r.Faults, r.Faults[0]) },
		"suites":   func(r *Report) { r.details.suites = append(r.details.suites, r.details.suites[0]) },
		"packages": func(r *Report) { r.details.top = append(r.details.top, r.details.top[0]) },
		"clients":  func(r *Report) { r.details.clients = append(r.details.clients, maxSketch) },
		"names":    func(r *Report) { r.names = append(r.names, r.names[0]) },
		"minutes": func(r *Report) {
			last := r.series[0][maxPoints-1]
			last.Start = last.Start.Add(time.Minute)
			r.series[0] = append(r.series[0], last)
		},
	} {
		r := greatest()
		change(r)
		if _, err := parseReport(r.encode()); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// A later version may have fields that this one does not know.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	b := putBytes(putFixed(putFigure(greatest().encode(), 100, 5), 101, 6), 102, []byte("seven"))
	if got, err := parseReport(b); err != nil || !reflect.DeepEqual(got, greatest()) {
		t.Errorf("%v", err)
	}
}

// A box of an earlier version does not say where clients reach it; what is no address and
// port is refused.
func TestServes(t *testing.T) {
	t.Parallel()
	if r, err := parseReport((&Report{Version: "1.0"}).encode()); err != nil || r.Serves.IsValid() {
		t.Errorf("without the field: %v, %v", r.Serves, err)
	}
	for text, want := range map[string]string{"0.0.0.0:3142": "0.0.0.0:3142", "[::ffff:10.0.0.2]:80": "10.0.0.2:80", "[fd00::7]:65535": "[fd00::7]:65535"} {
		if r, err := parseReport(putBytes(nil, 23, []byte(text))); err != nil || r.Serves.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, r.Serves, err, want)
		}
	}
	for _, text := range []string{"", "10.0.0.2", "10.0.0.2:0", "10.0.0.2:65536", "box.example.org:3142", "[fe80::1%eth0]:3142", "10.0.0.2:80';id;'", "10.0.0.2:3142 10.0.0.3:3142"} {
		if r, err := parseReport(putBytes(nil, 23, []byte(text))); err == nil {
			t.Errorf("%q is read as %v", text, r.Serves)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"abc": "abc", "abcdef": "abcd", "abcé": "abc", "ab\xff": "ab", "é漢": "é"} {
		if got := clip(in, 4); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	small := greatest()
	small.Faults, small.names = small.Faults[:1], small.names[:1]
	small.details.suites, small.details.top = small.details.suites[:1], small.details.top[:1]
	small.details.clients, small.details.packages = small.details.clients[:2], small.details.packages[:2]
	for i := range small.series {
		small.series[i] = small.series[i][:2]
	}
	f.Add(small.encode())
	f.Add((&Report{}).encode())
	f.Add([]byte("\x0a\x00\x9a\x01\x03\x22\x01\x00"))
	f.Add([]byte("\x18\x00\x9a\x01\x00")) // details of nothing
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReport(b)
		if err != nil {
			return
		}
		again, err := parseReport(r.encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v comes back as %+v, %v", r, again, err)
		}
	})
}

// Whatever a box asks, this one answers or refuses.
func FuzzReport(f *testing.F) {
	p := newPlace(peer.Member)
	a := p.add(f, "a", nil)
	a.survey(time.Now())
	f.Add(question{ledger: a.ledgerID, newest: [steps]int64{maxSeconds, 0, 7}, series: true}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := a.Report(t.Context(), peer.Asker{ID: "b", Kind: peer.Member}, b)
		if err != nil {
			return
		}
		if _, err := parseReport(answer); err != nil {
			t.Error(err)
		}
	})
}
