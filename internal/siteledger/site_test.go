package siteledger

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func TestSumsOfThreeBoxes(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b, c := p.add(t, "a", nil), p.add(t, "b", nil), p.add(t, "c", nil)
	a.get("10.0.0.1", "bash", ledger.FromMirror, 1000)
	a.ledger.PeerGiven("b", 1000)
	b.ledger.PeerTaken("a", 1000)
	b.get("10.0.0.1", "bash", ledger.FromPeer, 1000)
	b.get("10.0.0.2", "zsh", ledger.FromMirror, 50)
	c.get("10.0.0.3", "bash", ledger.FromStore, 7)
	c.faults = []api.Fault{{What: "mirror", Why: "is away"}, {What: "store", Why: "is gone", Fatal: true}}
	b.suites = []Suite{{URL: "http://archive.example.org/debian/dists/stable", State: "fresh"}}
	c.suites = []Suite{{URL: "http://archive.example.org/debian/dists/stable", State: "stale"}}
	p.exchange(t)
	p.exchange(t)
	for id, x := range p.boxes {
		s := x.Sum(false)
		if s.Counts.Delivered() != 2057 || s.Counts.MirrorTaken != 1050 || s.Counts.Saved() != 1007 || s.Counts.PeerTaken != 1000 || s.Counts.Requests != 4 {
			t.Errorf("%s: %+v", id, s.Counts)
		}
		if s.Boxes != 3 || s.Away != 0 || s.Clients != 3 || !s.ClientsExact || s.Packages != 2 || !s.PackagesExact || s.Holdings.Blobs != 9 {
			t.Errorf("%s: %+v", id, s)
		}
		if s.Status != "unavailable" || s.Worst.ID != "c" || s.Fault.What != "store" || s.Faulty != 1 {
			t.Errorf("%s: %s, %+v, %+v", id, s.Status, s.Worst, s.Fault)
		}
		if suites := x.Suites(false); len(suites) != 1 || suites[0].State != "stale" || suites[0].Worst != "c" || suites[0].Boxes != 2 {
			t.Errorf("%s: %+v", id, suites)
		}
		if top := x.Packages(Which{}); len(top) != 2 || top[0].Name != "bash" || top[0].Saved() != 1007 || top[0].Boxes != 3 {
			t.Errorf("%s: %+v", id, top)
		}
		for step := range ledger.Step(steps) {
			points, err := x.Series(Which{}, step, time.Now().Add(-48*time.Hour), time.Now().Add(time.Hour))
			var sum ledger.Counts
			for _, point := range points {
				addCounts(&sum, point.Counts)
			}
			if err != nil || sum != s.Counts {
				t.Errorf("%s, step %d: %+v, %v; want %+v", id, step, sum, err, s.Counts)
			}
		}
	}
	one, err := a.Series(Which{Box: "c"}, ledger.Day, time.Now().Add(-48*time.Hour), time.Now().Add(time.Hour))
	if err != nil || len(one) != 1 || one[0].Delivered() != 7 {
		t.Errorf("the series of one box: %+v, %v", one, err)
	}
	if _, err := a.Series(Which{Box: "x"}, ledger.Day, time.Now(), time.Now()); !errors.Is(err, ErrUnknownBox) {
		t.Errorf("the series of no box: %v", err)
	}
}

// A box that is away keeps its figures, over a restart too, for 90 days.
func TestAway(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	b.get("10.0.0.1", "bash", ledger.FromStore, 70)
	b.faults = []api.Fault{{What: "store", Fatal: true}}
	p.exchange(t)
	p.leave("b")
	a.asksAll(t)
	check := func(when string) {
		t.Helper()
		a.survey(time.Now())
		s, boxes := a.Sum(false), a.Boxes()
		if s.Boxes != 2 || s.Away != 1 || s.Counts.Delivered() != 70 || s.Clients != 1 || !s.ClientsExact || s.Status != "ok" || s.Rates.Delivered() != 0 {
			t.Errorf("%s: %+v", when, s)
		}
		if !boxes[1].Away || time.Since(boxes[1].Seen) > time.Minute || len(boxes[1].Faults) != 0 {
			t.Errorf("%s: %+v", when, boxes[1])
		}
		points, err := a.Series(Which{}, ledger.Minute, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if err != nil || len(points) != 1 || points[0].Delivered() != 70 {
			t.Errorf("%s: %+v, %v", when, points, err)
		}
	}
	check("away")
	a.open(t, "a", nil)
	check("after a restart")
	a.tidy(time.Now().Add(keepFor - time.Hour))
	if s := a.Sum(false); s.Boxes != 2 {
		t.Errorf("after 90 days but an hour: %+v", s)
	}
	a.tidy(time.Now().Add(keepFor + time.Hour))
	a.open(t, "a", nil)
	if s := a.Sum(false); s.Boxes != 1 || s.Counts.Delivered() != 0 {
		t.Errorf("after 90 days: %+v", s)
	}
	if n := a.rows(t); n[boxRow]+n[detailsRow]+n[pointRow] != 0 {
		t.Errorf("rows are left: %v", n)
	}
}

// rows counts the rows on disk by their kind.
func (b *testBox) rows(t testing.TB) map[byte]int {
	t.Helper()
	n := make(map[byte]int)
	if err := b.table.Scan(nil, nil, func(key, _ []byte) bool { n[key[0]]++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A connected box that gives no reports is away after a while.
func TestSilentBoxIsAway(t *testing.T) {
	t.Parallel()
	r := &record{connected: true, seen: time.Now()}
	if r.away(r.seen.Add(awayAfter)) || !r.away(r.seen.Add(awayAfter+1)) {
		t.Error("away at the wrong time")
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b, c := p.add(t, "a", nil), p.add(t, "b", nil), p.add(t, "c", nil)
	b.get("10.0.0.1", "bash", ledger.FromStore, 70)
	p.exchange(t)
	if err := a.Forget("b"); !errors.Is(err, ErrConnected) {
		t.Errorf("a connected box: %v", err)
	}
	if err := a.Forget("x"); !errors.Is(err, ErrUnknownBox) {
		t.Errorf("an unknown box: %v", err)
	}
	p.leave("b")
	p.exchange(t)
	if err := a.Forget("b"); err != nil {
		t.Fatal(err)
	}
	p.exchange(t)
	for _, x := range []*testBox{a, c} {
		if s := x.Sum(false); s.Boxes != 2 || s.Counts.Delivered() != 0 {
			t.Errorf("%s: %+v", x.ID, s)
		}
	}
	p.boxes["b"] = b
	p.exchange(t)
	p.exchange(t)
	for _, x := range []*testBox{a, c} {
		if s := x.Sum(false); s.Boxes != 3 || s.Counts.Delivered() != 70 {
			t.Errorf("%s, when it is back: %+v", x.ID, s)
		}
	}
}

// A box that goes on with its ledger under another identity counts once.
func TestNewIdentity(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	b.get("10.0.0.1", "bash", ledger.FromStore, 70)
	p.exchange(t)
	p.leave("b")
	b.open(t, "b2", nil)
	p.boxes["b2"] = b
	p.exchange(t)
	if s := a.Sum(false); s.Boxes != 2 || s.Counts.Delivered() != 70 {
		t.Errorf("%+v", s)
	}
}

// A box that begins a new ledger no longer has the figures of the old one.
func TestNewLedger(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	b.get("10.0.0.1", "bash", ledger.FromStore, 70)
	p.exchange(t)
	before := [steps][]ledger.Point{ledger.Day: {{Start: time.Now().Add(-10 * 24 * time.Hour).Truncate(24 * time.Hour).UTC(), Counts: ledger.Counts{DeliveredStore: 9}}}}
	a.mu.Lock()
	err := a.takePoints(a.boxes["b"], &before, time.Now())
	a.mu.Unlock()
	if err != nil || a.rows(t)[pointRow] != 4 {
		t.Fatalf("%v, %v", a.rows(t), err)
	}
	b = p.add(t, "b", nil)
	b.get("10.0.0.1", "bash", ledger.FromStore, 5)
	p.exchange(t)
	p.exchange(t)
	points, err := a.Series(Which{}, ledger.Day, time.Now().Add(-48*24*time.Hour), time.Now().Add(time.Hour))
	if s := a.Sum(false); s.Counts.Delivered() != 5 || err != nil || len(points) != 1 || points[0].Delivered() != 5 {
		t.Errorf("%+v, %+v, %v", s, points, err)
	}
}

// busy is a Ledger to which something happens whenever its series are read.
type busy struct {
	Ledger
	meanwhile func()
}

func (l *busy) Series(step ledger.Step, from, to time.Time) ([]ledger.Point, error) {
	l.meanwhile()
	return l.Ledger.Series(step, from, to)
}

// A client that comes while a report is made is in all of it or in none: the asking box
// would take one with more hashes than clients for a lie.
func TestReportsAgree(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a := p.add(t, "a", nil)
	b := p.add(t, "b", func(o *Options) { o.Ledger = &busy{Ledger: o.Ledger, meanwhile: func() {}} })
	came := 0
	b.Ledger.(*busy).meanwhile = func() {
		came++
		b.get(fmt.Sprintf("10.0.0.%d", came), fmt.Sprint("package", came), ledger.FromStore, 1)
		b.survey(time.Now())
	}
	p.exchange(t)
	if s := a.Sum(false); len(a.blamed) != 0 || came == 0 || s.Boxes != 2 || !s.ClientsExact || s.Clients != int64(came) || s.Packages != int64(came) {
		t.Errorf("blamed %v; %+v, want %d clients", a.blamed, s, came)
	}
}

// report is what a box without scruples answers.
func lie(change func(*Report)) func([]byte) []byte {
	r := Report{Ledger: 7, Version: "9", Began: 1}
	change(&r)
	return func([]byte) []byte { return r.encode() }
}

func absurd(r *Report) {
	for _, v := range append(countFields(&r.Counts), countFields(&r.Rates)...) {
		*v = maxFigure
	}
	r.Holdings = Holdings{maxFigure, maxFigure, maxFigure, maxFigure}
	r.Clients, r.Packages, r.Suites = maxAccounts, maxAccounts, maxFigure
	d := &details{clientsTold: true, clients: Sketch{1, 2, 3}, suites: []Suite{{URL: "http://x", State: "expired"}}}
	r.details, r.DetailsVersion = d, 1
	r.Faults = []api.Fault{{What: "store", Why: "it is all over", Fatal: true}}
	r.names = []name{{nameKey(namedBox, "a"), "mine", time.Now().UnixMilli()}}
	r.series[ledger.Day] = []ledger.Point{{Start: time.Unix(0, 0)}, {Start: time.Now().Add(100 * 24 * time.Hour).Truncate(24 * time.Hour)}}
}

// What a local box claims stands apart, and changes nothing else.
func TestLiar(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a := p.add(t, "a", nil)
	a.get("10.0.0.1", "bash", ledger.FromMirror, 10)
	a.suites = []Suite{{URL: "http://y", State: "fresh"}}
	p.lies["liar"] = lie(absurd)
	p.exchange(t)
	s, all := a.Sum(false), a.Sum(true)
	if s.Boxes != 1 || s.Counts.Delivered() != 10 || s.Clients != 1 || !s.ClientsExact || s.Status != "ok" || s.Rates.Delivered() != 0 {
		t.Errorf("without it: %+v", s)
	}
	if all.Boxes != 2 || all.Counts.Delivered() != 3*maxFigure+10 || all.Clients > maxAccounts+1 || all.ClientsExact || all.Worst.ID != "liar" || !all.Worst.Unproved {
		t.Errorf("with it: %+v", all)
	}
	if suites := a.Suites(false); len(suites) != 1 || suites[0].URL != "http://y" {
		t.Errorf("suites without it: %+v", suites)
	}
	if suites := a.Suites(true); len(suites) != 2 || !suites[0].Unproved || suites[1].Unproved {
		t.Errorf("suites with it: %+v", suites)
	}
	if name := a.BoxName("a"); name != "" {
		t.Errorf("it named this box %q", name)
	}
	if n := a.rows(t)[pointRow]; n != 0 {
		t.Errorf("%d buckets of 1970 and of the future are kept", n)
	}
	if len(a.blamed) != 0 {
		t.Errorf("blamed: %v; its figures are possible", a.blamed)
	}
}

// Messages that no honest box sends are the fault of the box, and leave nothing.
func TestMalformedReports(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a := p.add(t, "a", nil)
	for name, answer := range map[string]func([]byte) []byte{
		"garbage":          func([]byte) []byte { return []byte("\x0fgarbage") },
		"clients":          lie(func(r *Report) { r.Clients = maxAccounts + 1 }),
		"hashes":           lie(func(r *Report) { r.details = &details{packages: Sketch{1}} }),
		"unordered hashes": lie(func(r *Report) { r.Packages = 9; r.details = &details{packages: Sketch{2, 1}} }),
		"faults":           lie(func(r *Report) { r.Faults = make([]api.Fault, maxFaults+1) }),
		"name":             lie(func(r *Report) { r.names = []name{{"x", "y", 1}} }),
		"days":             lie(func(r *Report) { r.series[2] = []ledger.Point{{Start: time.Unix(1, 0)}} }),
	} {
		p.lies[name] = answer
	}
	p.exchange(t)
	if slices.Sort(a.blamed); len(a.blamed) != len(p.lies) || a.Sum(true).Boxes != 1 {
		t.Errorf("blamed: %v; %+v", a.blamed, a.Sum(true))
	}
}

// All sums of the greatest figures fit.
func TestGreatestSums(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a := p.add(t, "a", nil)
	for i := range maxLocals + 10 {
		p.lies[fmt.Sprint("liar", i)] = lie(absurd)
	}
	p.kind = peer.Member
	for i := range maxMembers + 10 {
		p.lies[fmt.Sprint("member", i)] = lie(absurd)
	}
	p.exchange(t)
	p.kind = peer.Local
	for i := range maxMembers + 10 {
		delete(p.lies, fmt.Sprint("member", i))
	}
	a.asksAll(t)
	s := a.Sum(true)
	if s.Boxes < maxMembers || s.Boxes > 1+maxMembers+maxLocals || s.Counts.Delivered() <= 0 || s.Rates.Delivered() < 0 || s.Holdings.BlobBytes <= 0 || s.Counts.Saved() <= 0 {
		t.Errorf("%+v", s)
	}
}

// Nor is a bucket of several boxes more than one box may claim for it.
func TestGreatestBuckets(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a := p.add(t, "a", nil)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	for i := range 3 {
		p.lies[fmt.Sprint("liar", i)] = lie(func(r *Report) {
			r.series[ledger.Day] = []ledger.Point{{Start: day}}
			for _, v := range countFields(&r.series[ledger.Day][0].Counts) {
				*v = maxFigure
			}
		})
	}
	p.exchange(t)
	points, err := a.Series(Which{}, ledger.Day, day, day.Add(time.Hour))
	if err != nil || len(points) != 1 || points[0].DeliveredStore != maxFigure || points[0].Delivered() != 3*maxFigure {
		t.Errorf("%+v, %v", points, err)
	}
}

// What is not to be kept about clients is neither told nor kept; the number of clients
// is then not exact.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", func(o *Options) { o.Privacy = Privacy{NoClients: true, NoNames: true} })
	a.get("10.0.0.1", "bash", ledger.FromStore, 5)
	if err := a.NameClient(netip.MustParseAddr("10.0.0.1"), "front desk"); err != nil {
		t.Fatal(err)
	}
	if err := b.NameClient(netip.MustParseAddr("10.0.0.1"), "front desk"); !errors.Is(err, ErrPrivacy) {
		t.Errorf("naming a client on b: %v", err)
	}
	p.exchange(t)
	if r := b.boxes["a"]; r.clients.told || len(r.clients.Sketch) > 0 || b.ClientName(netip.MustParseAddr("10.0.0.1")) != "" || b.rows(t)[nameRow] != 0 {
		t.Errorf("b keeps %+v, %v", r.clients, b.rows(t))
	}
	if s := a.Sum(false); s.ClientsExact || s.Clients != 1 {
		t.Errorf("a: %+v", s)
	}
	// The setting comes into force for what was kept before.
	c := p.add(t, "c", nil)
	p.exchange(t)
	c.open(t, "c", func(o *Options) { o.Privacy = Privacy{NoClients: true, NoNames: true} })
	if r := c.boxes["a"]; r.clients.told || c.rows(t)[nameRow] != 0 {
		t.Errorf("c keeps %+v, %v", r.clients, c.rows(t))
	}
}

// Hashes of clients of a box that is away are kept as long as clients are.
func TestPrivacyOfDays(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", func(o *Options) { o.Privacy.Keep = 24 * time.Hour }), p.add(t, "b", nil)
	b.get("10.0.0.1", "bash", ledger.FromStore, 5)
	p.exchange(t)
	for after, want := range map[time.Duration]bool{23 * time.Hour: true, 25 * time.Hour: false} {
		x := *a.boxes["b"]
		a.tidy(time.Now().Add(after))
		if got := len(a.boxes["b"].clients.Sketch) == 1; got != want {
			t.Errorf("after %s the hash is there: %t", after, got)
		}
		a.boxes["b"] = &x // as it was before
	}
	if s := a.Sum(false); s.Clients != 1 {
		t.Errorf("%+v", s)
	}
}

// Where the page is not for all, a local box learns numbers alone.
func TestLocalsMayNotLook(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Local)
	a, b := p.add(t, "a", nil), p.add(t, "b", func(o *Options) { o.Privacy.LocalsMayLook = false })
	b.get("10.0.0.1", "bash", ledger.FromStore, 5)
	b.suites = []Suite{{URL: "http://secret", State: "fresh"}}
	p.exchange(t)
	if r := a.boxes["b"]; r.report.Clients != 1 || r.clients.told || len(r.suites)+len(r.top)+len(r.packages.Sketch) > 0 {
		t.Errorf("a learned %+v", r)
	}
	if _, err := b.Report(t.Context(), peer.Asker{ID: "x", Kind: peer.Stranger}, nil); err == nil {
		t.Error("a stranger is answered")
	}
}

func TestErase(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	client := netip.MustParseAddr("10.0.0.1")
	b.get("10.0.0.1", "bash", ledger.FromStore, 5)
	if err := b.NameClient(client, "front desk"); err != nil {
		t.Fatal(err)
	}
	p.exchange(t)
	if a.ClientName(client) != "front desk" {
		t.Error("the name did not come")
	}
	p.leave("b")
	a.asksAll(t)
	for i, want := range []bool{true, false} {
		if known, err := a.Erase(client); err != nil || known != want {
			t.Errorf("erasing, time %d: %t, %v", i, known, err)
		}
	}
	a.open(t, "a", nil)
	if r := a.boxes["b"]; len(r.clients.Sketch) != 0 || a.ClientName(client) != "" {
		t.Errorf("left: %+v, %q", r.clients, a.ClientName(client))
	}
}

// Nothing names a client's address on disk or in what members are told.
func TestAddressesAreHashed(t *testing.T) {
	t.Parallel()
	p := newPlace(peer.Member)
	a, b := p.add(t, "a", nil), p.add(t, "b", nil)
	b.get("203.0.113.99", "bash", ledger.FromStore, 5)
	if err := b.NameClient(netip.MustParseAddr("203.0.113.99"), "front desk"); err != nil {
		t.Fatal(err)
	}
	p.exchange(t)
	answer, err := b.Report(t.Context(), peer.Asker{ID: "a", Kind: peer.Member}, nil)
	addr := netip.MustParseAddr("203.0.113.99").AsSlice()
	has := func(text string) bool {
		return strings.Contains(text, "203.0.113.99") || strings.Contains(text, string(addr))
	}
	if err != nil || has(string(answer)) {
		t.Errorf("a report has the address: %v", err)
	}
	err = a.table.Scan(nil, nil, func(key, value []byte) bool {
		if has(string(key)) || has(string(value)) {
			t.Errorf("row %q has the address", key)
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	other := Site{Options: Options{Secret: []byte("another swarm's")}}
	if client := netip.MustParseAddr("203.0.113.99"); other.hash(client) == a.hash(client) || a.hash(client) != b.hash(client) {
		t.Error("hashes do not depend on the swarm's secret alone")
	}
}

// Each state of a suite arrives as it was told.
func TestSuiteStates(t *testing.T) {
	t.Parallel()
	for _, state := range SuiteStates {
		d := &details{suites: []Suite{{URL: "http://archive.example.org/debian/dists/stable", State: state}}}
		got, err := parseDetails(d.encode())
		if err != nil || len(got.suites) != 1 || got.suites[0].State != state {
			t.Errorf("%s: %+v, %v", state, got, err)
		}
	}
}
