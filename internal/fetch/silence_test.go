package fetch

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/peer"
)

// silentCase is a race among peers alone, in the order in which they are asked.
type silentCase struct {
	peers   []silentPeer
	lag     time.Duration
	took    time.Duration // about; 0: no peer sends the file
	asked   int           // how many of the peers are
	stalled []string      // those that are reported
}

type silentPeer struct {
	kind   peerKind
	change func(*box)
	usual  time.Duration // to its first byte, if it has been measured
}

func after(d time.Duration) func(*box) { return func(b *box) { b.first = d } }

// breaks makes a box silent after its first bytes.
func breaks(b *box) { b.limit, b.silent = 1000, true }

// How long a peer is waited for, which one is asked next, and who is blamed.
func TestSilentPeers(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	honest, quick := after(50*ms), after(5*ms)
	many := make([]silentPeer, 9)
	for i := range many {
		many[i] = silentPeer{kind: seed, change: stalls}
	}
	for name, c := range map[string]silentCase{
		"a squatter":                        {peers: []silentPeer{{owner, stalls, 0}, {owner, honest, 0}}, took: 450 * ms, asked: 2, stalled: []string{"0"}},
		"a squatter that says it has begun": {peers: []silentPeer{{downloader, stalls, 0}, {owner, honest, 0}}, took: 450 * ms, asked: 2, stalled: []string{"0"}},
		"three squatters":                   {peers: []silentPeer{{owner, stalls, 0}, {owner, stalls, 0}, {owner, stalls, 0}, {owner, honest, 0}}, took: 970 * ms, asked: 4, stalled: []string{"0", "1"}},
		"a holder that stalls":              {peers: []silentPeer{{seed, stalls, 0}, {seed, quick, 0}}, took: 305 * ms, asked: 2, stalled: []string{"0"}},
		"three holders that stall":          {peers: []silentPeer{{seed, stalls, 0}, {seed, stalls, 0}, {seed, stalls, 0}, {seed, quick, 0}, {owner, quick, 0}}, took: 505 * ms, asked: 4, stalled: []string{"0"}},
		"three holders before an owner":     {peers: []silentPeer{{seed, stalls, 0}, {seed, stalls, 0}, {seed, stalls, 0}, {owner, honest, 0}}, took: 550 * ms, asked: 4, stalled: []string{"0"}},
		"a holder that is usually quick":    {peers: []silentPeer{{seed, stalls, 10 * ms}, {seed, quick, 0}}, took: 105 * ms, asked: 2, stalled: []string{"0"}},
		"and only an owner beside it":       {peers: []silentPeer{{seed, stalls, 10 * ms}, {owner, quick, 0}}, took: 305 * ms, asked: 2, stalled: []string{"0"}},
		"a holder that is usually slow":     {peers: []silentPeer{{seed, after(700 * ms), 400 * ms}, {seed, quick, 0}}, took: 700 * ms, asked: 1},
		"a holder that breaks off":          {peers: []silentPeer{{seed, breaks, 0}, {seed, quick, 0}}, took: 305 * ms, asked: 2, stalled: []string{"0"}},
		"an owner that breaks off":          {peers: []silentPeer{{owner, breaks, 0}, {owner, honest, 0}}, took: 450 * ms, asked: 2, stalled: []string{"0"}},
		"an owner with a late mirror":       {peers: []silentPeer{{owner, after(1500 * ms), 1500 * ms}, {owner, honest, 0}}, took: 1500 * ms, asked: 1},
		"the same, and nothing is known":    {peers: []silentPeer{{owner, after(1500 * ms), 0}, {owner, honest, 0}}, took: 450 * ms, asked: 2, stalled: []string{"0"}},
		"a holder's history is its own":     {peers: []silentPeer{{seed, stalls, 0}, {owner, honest, 5 * ms}}, took: 350 * ms, asked: 2, stalled: []string{"0"}},
		"this box is late":                  {peers: []silentPeer{{seed, after(700 * ms), 0}, {seed, quick, 0}}, lag: 250 * ms, took: 700 * ms, asked: 1},
		"this box is late, with an owner":   {peers: []silentPeer{{owner, after(1200 * ms), 0}, {owner, honest, 0}}, lag: 500 * ms, took: 1200 * ms, asked: 1},
		"late, and not in time":             {peers: []silentPeer{{seed, stalls, 0}, {seed, quick, 0}}, lag: 250 * ms, took: 805 * ms, asked: 2, stalled: []string{"0"}},
		"all are silent":                    {peers: []silentPeer{{seed, stalls, 0}, {owner, stalls, 0}, {owner, stalls, 0}}, asked: 3},
		"too many are silent":               {peers: many, asked: 9},
		"the first one sends after all":     {peers: []silentPeer{{seed, after(350 * ms), 0}, {seed, after(time.Second), 0}}, took: 350 * ms, asked: 2},
	} {
		for _, size := range []int{small, large} {
			t.Run(fmt.Sprint(name, "/", size), func(t *testing.T) {
				t.Parallel()
				testSilence(t, c, size)
			})
		}
	}
}

func testSilence(t *testing.T, c silentCase, size int) {
	r := newRig(t, aptest.Suite{})
	r.lag = func() time.Duration { return c.lag }
	data := bytes.Repeat([]byte("x"), size)
	d := digest.Of(data)
	part, err := r.store.Partial(d, int64(size))
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		fl := r.newFlight(flightKey{digest: d}, catalog.Entry{Kind: catalog.Content, Digest: d, Size: int64(size)})
		fl.begin(part)
		defer fl.closeFile()
		site, all, from := newBoxes(), []*box(nil), candidates{}
		for i, p := range c.peers {
			b := &box{name: fmt.Sprint(i), site: site, data: data}
			p.change(b)
			s := fl.peerSource(b, p.kind)
			if p.usual > 0 {
				r.paces.measured(s, p.usual, 1, p.usual)
			}
			all, from.peers = append(all, b), append(from.peers, s)
		}
		begun := time.Now()
		result, err := (&download{fl: fl, tallies: make(map[string]*tally)}).askAll(t.Context(), part, from, 0)
		took := time.Since(begun)
		if want := c.took > 0; result.done != want || want && (err != nil || took < c.took || took > c.took+10*time.Millisecond) {
			t.Errorf("done: %v after %v, want after %v; %v", result.done, took, c.took, err)
		}
		for i, b := range all {
			var want []peer.Fault
			if slices.Contains(c.stalled, b.name) {
				want = []peer.Fault{peer.Stalled}
			}
			if asked := len(b.asks()) > 0; asked != (i < c.asked) || !slices.Equal(b.faults(), want) {
				t.Errorf("peer %s: asked: %v, faults %v, want %v", b, asked, b.faults(), want)
			}
		}
		if n := site.peak.Load(); n > 1+maxRivals {
			t.Errorf("%d were asked at once", n)
		}
	})
	must(t, part.Discard())
}

// A peer that sends a lot may pause for a moment.
func TestPatienceWithAFluentPeer(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		got         int64
		first, want time.Duration
	}{{0, 300 * ms, 300 * ms}, {fluentBytes - 1, 120 * ms, 120 * ms}, {fluentBytes, 120 * ms, 600 * ms}, {fluentBytes, time.Second, time.Second}} {
		if got := (reading{got: c.got}).patience(c.first); got != c.want {
			t.Errorf("%d bytes, %v: %v, want %v", c.got, c.first, got, c.want)
		}
	}
}

// How long a peer that must get the file first is waited for.
func TestRelayPatience(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct{ relay, mirror, own, prompt time.Duration }{
		{0, 0, 400 * ms, 260 * ms},
		{0, 30 * ms, 300 * ms, 120 * ms},
		{0, 600 * ms, 800 * ms, 660 * ms},
		{0, 900 * ms, 1100 * ms, 960 * ms}, // the mirror itself takes that long
		{0, 9 * time.Second, 2 * time.Second, 2 * time.Second},
		{50 * ms, 0, 300 * ms, 120 * ms},
		{400 * ms, 0, 800 * ms, 800 * ms},
		{1500 * ms, 0, 2 * time.Second, 2 * time.Second},
		{1500 * ms, 30 * ms, time.Second, time.Second}, // it is not the mirror
	} {
		if got := relayPatience(c.relay, c.mirror); got.own != c.own || got.prompt != c.prompt {
			t.Errorf("usually %v, the mirror %v: %v and %v, want %v and %v", c.relay, c.mirror, got.own, got.prompt, c.own, c.prompt)
		}
	}
}

// Whatever the peers of a site do that are silent, a client has its file soon, once from
// the mirror or not at all, and of several boxes that rank above this one only the first
// may rely on another.
func TestSilenceBeforeTheMirror(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owners, seeds int  // that are silent
		honest        bool // an owner, the last one
	}{
		"one squatter": {owners: 1}, "three squatters": {owners: 3},
		"one holder": {seeds: 1}, "three holders": {seeds: 3},
		"one squatter and an owner":    {owners: 1, honest: true},
		"three squatters and an owner": {owners: 3, honest: true},
		"one holder and an owner":      {seeds: 1, honest: true},
		"three holders and an owner":   {seeds: 3, honest: true},
	} {
		for _, pkg := range []string{"small", "large"} {
			t.Run(name+"/"+pkg, func(t *testing.T) {
				t.Parallel()
				r := newSwarmRig(t, nil)
				var owners []*box
				for i := range c.owners {
					owners = append(owners, r.add(r.owners, pkg, fmt.Sprint("squatter", i), stalls))
				}
				for i := range c.seeds {
					r.add(r.seeds, pkg, fmt.Sprint("holder", i), stalls)
				}
				if c.honest {
					owners = append(owners, r.add(r.owners, pkg, "honest"))
				}
				begun := time.Now()
				r.right(pkg, 1)
				// The patience of a busy machine is longer; without it, it was 4 and 10 s.
				took := time.Since(begun)
				if took > 3*time.Second+8*r.lateness() {
					t.Errorf("took %v", took)
				}
				if n, size := r.fromMirror(pkg), int64(len(r.data(pkg))); c.honest && n != 0 || !c.honest && n != size {
					t.Errorf("the mirror sent %d of %d", n, size)
				}
				for i, b := range owners {
					want := []peer.Fetch{peer.FetchFromMirror}
					if i == 0 && c.seeds == 0 {
						want[0] = peer.FetchAnywhere
					}
					// A busy machine leaves the last ones no time before the mirror is asked.
					if late := took > 2*maxSilence && i > 0 && len(b.fetched) == 0; !late && !slices.Equal(b.fetched, want) {
						t.Errorf("%s was asked to fetch %v, want %v", b, b.fetched, want)
					}
				}
			})
		}
	}
}

// While the mirror does not answer either, no silent peer is blamed.
func TestSilenceOfAll(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	r.timeouts.seed, r.timeouts.downloader = time.Second, time.Second
	all := []*box{
		r.add(r.seeds, "small", "seed", stalls), r.add(r.owners, "small", "owner", stalls),
		r.add(r.owners, "small", "next", func(b *box) { b.life = 1; b.grow(0) }),
	}
	r.mirror.Inject("*/small_*", aptest.Drop())
	if _, err := r.compare("small"); err == nil {
		t.Error("no error")
	}
	for _, b := range all {
		if len(b.asks()) == 0 || b.faults() != nil {
			t.Errorf("%s was asked %d times and has faults %v", b, len(b.asks()), b.faults())
		}
	}
}

// An owner whose mirror failed is not at fault.
func TestOwnerWithoutAMirror(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	b := r.add(r.owners, "small", "owner", func(b *box) { b.dead.Store(true) })
	r.right("small", 1)
	if len(b.asks()) == 0 || b.faults() != nil {
		t.Errorf("asked %d times, faults %v", len(b.asks()), b.faults())
	}
}

// A box that a peer asks for a file from the mirror asks no owner for it, nor waits for
// one any longer; who has the file it asks if the mirror does not.
func TestFetchFromMirror(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"second": small, "third": small, "fourth": small})
	r.lag = func() time.Duration { return time.Hour } // it loses patience with nobody
	r.budget = newBudget(mib, mib)                    // of which 12 bytes come back each second
	spent := func() int64 {
		r.budget.mu.Lock()
		defer r.budget.mu.Unlock()
		return r.budget.peers[local.ID].bytes
	}
	ask := func(pkg string) {
		t.Helper()
		if got, err := r.download(local, r.digest(pkg), peer.FetchFromMirror); err != nil || !bytes.Equal(got, r.data(pkg)) {
			t.Errorf("%s: %d bytes, %v", pkg, len(got), err)
		}
	}
	b := r.add(r.owners, "small", "owner", stalls)
	ask("small")
	if len(b.asks()) != 0 || r.mirror.Requests("*/small_*") != 1 {
		t.Errorf("the owner was asked %d times, the mirror %d", len(b.asks()), r.mirror.Requests("*/small_*"))
	}

	b = r.add(r.owners, "second", "owner", stalls)
	got, before := make(chan error, 1), spent()
	go func() { _, err := r.compare("second"); got <- err }()
	for len(b.asks()) == 0 {
		time.Sleep(time.Millisecond)
	}
	ask("second")
	if err := <-got; err != nil || r.mirror.Requests("*/second_*") != 1 || b.faults() != nil {
		t.Errorf("the client got %v, the mirror %d requests, the owner faults %v", err, r.mirror.Requests("*/second_*"), b.faults())
	}
	if n, size := spent()-before, int64(len(r.data("second"))); n < size*9/10 || n > size {
		t.Errorf("%d bytes of the peer's budget are gone, want %d", n, size)
	}

	b = r.add(r.seeds, "third", "seed")
	ask("third")
	if n := r.mirror.Requests("*/third_*"); n != 1 || len(b.asks()) > 0 {
		t.Errorf("the mirror was asked %d times, a peer that has the file %d", n, len(b.asks()))
	}

	r.add(r.seeds, "fourth", "seed")
	r.mirror.Inject("*/fourth_*", aptest.Drop())
	ask("fourth")
}

// What comes buys back the time that was lost: a byte now and then does not.
func TestWaitingIsBoughtBack(t *testing.T) {
	t.Parallel()
	d := &download{fl: new(flight)}
	d.fl.f = &Fetcher{lag: func() time.Duration { return 0 }}
	now := time.Now()
	r := race{d: d, waiting: waiting{lost: time.Second, seen: now}}
	if !r.isOverdue() {
		t.Error("a second is not enough")
	}
	d.fl.received.Store(1000)
	if r.account(now); !r.isOverdue() {
		t.Error("a kilobyte is worth a second")
	}
	d.fl.received.Store(enough)
	if r.account(now); r.isOverdue() || r.waiting.lost > 10*time.Millisecond {
		t.Errorf("a megabyte leaves %v", r.waiting.lost)
	}
}
