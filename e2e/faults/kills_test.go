package faults

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// killClients is how many clients get files while the box is killed.
const killClients = 6

// mostBehind is how far the ledger may be behind a kill.
const mostBehind = time.Second

// A box that is killed over and over under load has every file that it gave to a client
// in full, no torn one, and figures that are at most a second behind and never ahead.
func TestKills(t *testing.T) {
	r := chance(t)
	a := newArchive(t)
	a.add(r, 12, 8e6)
	a.publish()
	k := &kills{T: t, r: r, archive: a, held: make(map[string][32]byte)}
	k.box = a.start(t)
	k.crowd = newCrowd(t, k.box, a)
	k.blobs = newBlobs(k.box.Data)
	a.mirror.Inject("*.deb", aptest.Slow(4e6)) // so that downloads are under way
	n := rounds(killRounds, 12)
	for round := range n {
		k.round(round)
	}
	k.blobs.seen = make(map[string]bool)
	k.torn += len(k.blobs.torn(t))
	for path, sum := range k.held {
		if !k.blobs.holds(sum) {
			t.Errorf("in the end, %s is not held", path)
			k.lost++
		}
	}
	if k.torn > 0 || k.gets == 0 || len(k.held) < n {
		t.Errorf("%d torn blobs; %d files received, %d different ones", k.torn, k.gets, len(k.held))
	}
	t.Logf("| %d rounds, %d kills | %d files, %d MB to clients, %d different ones | torn %d | lost %d | ahead %d | worst lag: to clients %v, of what the API said %v | start, min/median/max: %s |",
		n, k.kills, k.gets, k.bytes>>20, len(k.held), k.torn, k.lost, k.ahead, k.lag.Round(time.Millisecond), k.apiLag.Round(time.Millisecond), spread(k.starts))
}

type kills struct {
	*testing.T
	r       *rand.Rand
	archive *archive
	box     *box.Box
	crowd   *crowd
	blobs   *blobs
	held    map[string][32]byte // indices and packages that a client got in full

	kills, gets       int
	bytes             int64
	torn, lost, ahead int
	lag, apiLag       time.Duration
	starts            []time.Duration
}

// figure is what the box said about its ledger, at the latest at a time.
type figure struct {
	at             time.Time
	client, mirror int64
}

// round publishes a generation, lets clients get files until the box is killed at a
// random instant, and checks what a new process on its data has.
func (k *kills) round(round int) {
	k.archive.add(k.r, 1+k.r.IntN(3), 8e6)
	k.archive.publish()
	before := k.box.Summary()
	sent := k.archive.mirror.BytesSent("*")
	k.crowd.reset()

	ctx, cancel := context.WithCancel(k.Context())
	wait := k.crowd.run(ctx, k.r, killClients)
	said := k.watch(ctx)
	time.Sleep(between(k.r, 20*time.Millisecond, 2*time.Second)) // the instant
	killed := time.Now()
	k.box.Kill()
	cancel()
	wait()
	k.kills++
	k.gets += k.crowd.gets
	k.bytes += k.crowd.bytes()
	if len(k.crowd.wrong)+len(k.crowd.refused) > 0 {
		k.Errorf("round %d: complete wrong files %v, refusals %v", round, k.crowd.wrong, k.crowd.refused)
	}

	if k.r.IntN(5) == 0 { // once more, while it starts
		k.box.Launch()
		time.Sleep(between(k.r, 0, 400*time.Millisecond))
		k.box.Kill()
		k.kills++
	}
	k.starts = append(k.starts, timedRun(k.T, k.box))
	after := k.box.Summary()
	k.compare(round, before, after, killed, <-said)
	if taken, sent := after.MirrorBytes-before.MirrorBytes, k.archive.mirror.BytesSent("*")-sent; taken > sent {
		k.ahead++
		k.Errorf("round %d: the ledger has %d bytes from the mirror, which sent %d", round, taken, sent)
	}
	k.torn += len(k.blobs.torn(k.T))
	k.checkHeld(round, after, round%20 == 19)
}

// watch asks the box for its figures until it is killed.
func (k *kills) watch(ctx context.Context) <-chan []figure {
	said := make(chan []figure, 1)
	go func() {
		var all []figure
		for ctx.Err() == nil {
			if s, err := summary(ctx, k.box); err == nil {
				all = append(all, figure{time.Now(), s.ClientBytes, s.MirrorBytes})
			}
			time.Sleep(50 * time.Millisecond) // between samples
		}
		said <- all
	}()
	return said
}

func summary(ctx context.Context, b *box.Box) (s api.Summary, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+"/api/v1/summary", http.NoBody)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// compare compares the ledger after a kill with what clients received, and with what the
// box itself had said.
func (k *kills) compare(round int, before, after api.Summary, killed time.Time, said []figure) {
	counted, received := after.ClientBytes-before.ClientBytes, k.crowd.bytes()
	if counted > received {
		k.ahead++
		k.Errorf("round %d: the ledger has %d bytes to clients, who received %d", round, counted, received)
	}
	lag := behind(k.crowd.received, counted, killed)
	if lag > mostBehind {
		k.Errorf("round %d: the ledger is %v behind the clients: %d of %d bytes", round, lag, counted, received)
	}
	k.lag = max(k.lag, lag)
	for _, f := range said {
		if f.client > after.ClientBytes || f.mirror > after.MirrorBytes {
			lag := killed.Sub(f.at)
			if lag > mostBehind {
				k.Errorf("round %d: %v before the kill the box said %d bytes to clients and %d from mirrors, and has %d and %d now",
					round, lag, f.client, f.mirror, after.ClientBytes, after.MirrorBytes)
			}
			k.apiLag = max(k.apiLag, lag)
			break
		}
	}
}

// checkHeld checks that what clients got in full in this round, and some of what they got
// before, is held: clients get it again, without a byte from the mirror. away: there is
// no mirror.
func (k *kills) checkHeld(round int, before api.Summary, away bool) {
	maps.DeleteFunc(k.crowd.complete, func(path string, _ [32]byte) bool { return kindOf(path[len("/debian/"):]) == releases })
	maps.Copy(k.held, k.crowd.complete)
	again := maps.Clone(k.crowd.complete)
	for path, sum := range k.held { // in random order
		if len(again) >= len(k.crowd.complete)+3 {
			break
		}
		again[path] = sum
	}
	k.crowd.reset()
	if away {
		k.archive.mirror.Down()
	}
	sent := k.archive.mirror.BytesSent("*.deb")
	for path, sum := range again {
		if !k.blobs.holds(sum) {
			k.lost++
			k.Errorf("round %d: a client got %s in full, and it is no blob", round, path)
		}
		if err := k.crowd.get(k.Context(), path, 0); err != nil {
			k.lost++
			k.Errorf("round %d: a client got %s in full before the kill, and after it: %v", round, path, err)
		}
	}
	if sent = k.archive.mirror.BytesSent("*.deb") - sent; sent > 0 || len(k.crowd.wrong) > 0 {
		k.lost++
		k.Errorf("round %d: %d bytes came from the mirror again; wrong are %v", round, sent, k.crowd.wrong)
	}
	want := before.ClientBytes + k.crowd.bytes()
	poll.Must(k.T, 10*time.Second, "the ledger has what clients received", poll.That(func() bool { return k.box.Summary().ClientBytes == want }))
	if away {
		if err := k.archive.mirror.Up(); err != nil {
			k.Fatal(err)
		}
		k.box.Until("the mirror counts as up", func() bool { return k.crowd.get(k.Context(), "/debian/dists/stable/InRelease", 0) == nil })
	}
}
