package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/peer"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 250)
		check := func(peer string, n int64, want bool) {
			t.Helper()
			if b.take(peer, n) != want {
				t.Errorf("%d bytes for %s: %v, want %v", n, peer, !want, want)
			}
		}
		check("a", 60, true)
		check("a", 41, false) // it took nothing
		check("a", 40, true)
		check("a", 1, false)
		check("b", 100, true)
		check("c", 51, false) // too many in all
		check("c", 50, true)
		b.giveBack("a", 10)
		check("b", 1, false)
		check("a", 11, false)
		check("a", 10, true)
		time.Sleep(12 * time.Hour)
		check("a", 51, false)
		check("a", 50, true)
		time.Sleep(48 * time.Hour)
		check("a", 100, true)
		check("b", 101, false)
	})
}

// Peer IDs cost nothing: however many there are, the memory and the sum are bounded.
func TestBudgetOfManyPeers(t *testing.T) {
	t.Parallel()
	b := newBudget(100, 10*maxBudgets)
	b.take("big", 100)
	granted := 0
	for i := range 20 * maxBudgets {
		if b.take(fmt.Sprint(i), 1) {
			granted++
		}
	}
	if len(b.peers) != maxBudgets || granted > 10*maxBudgets {
		t.Errorf("%d peers are remembered, %d bytes granted", len(b.peers), granted)
	}
	if b.take("big", 50) {
		t.Error("who has spent most was forgotten")
	}
}

// Only members and boxes of this site have a box fetch a file, within their budget:
// past it, it is absent to them, unless it is on its way or held.
func TestFetchForPeersIsBounded(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"second": large, "third": large})
	size := int64(len(r.data("large")))
	r.budget = newBudget(size*3/2, size*5/2)
	absent := func(by peer.Asker, name string) {
		t.Helper()
		if _, err := r.download(by, r.digest(name), peer.FetchAnywhere); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s for %s: %v", name, by.ID, err)
		}
		if r.held(r.digest(name)) || r.fromMirror(name) != 0 {
			t.Errorf("%s was fetched for %s", name, by.ID)
		}
	}
	given := func(by peer.Asker, name string) {
		t.Helper()
		if got, err := r.download(by, r.digest(name), peer.FetchAnywhere); err != nil || !bytes.Equal(got, r.data(name)) {
			t.Errorf("%s for %s: %d bytes, %v", name, by.ID, len(got), err)
		}
		r.quiet()
	}
	absent(stranger, "large")
	broken := r.mirror.Inject("*/large*", aptest.Status(404))
	if _, err := r.download(local, r.digest("large"), peer.FetchAnywhere); err == nil {
		t.Error("the premises are wrong")
	}
	r.quiet()
	broken.Release() // what did not come costs nothing
	given(local, "large")
	absent(local, "second")
	given(local, "large") // held
	given(member, "second")
	absent(peer.Asker{ID: "another", Kind: peer.Local}, "third") // too many in all
	stall := r.mirror.InjectTimes(1, "*/third*", aptest.Stall(large/2))
	f, err := r.get(t.Context(), r.packageAt("third"), digest.Digest{})
	must(t, err)
	defer f.Body.Close()
	u, err := r.Open(t.Context(), local, r.digest("third"), peer.Request{Fetch: peer.FetchAnywhere}) // on its way for a client
	must(t, err)
	u.Close()
	stall.Release()
}

// What a peer has a box fetch evicts nothing: without room it is passed through, and
// kept once a client of this box wants it.
func TestFetchForPeersEvictsNothing(t *testing.T) {
	t.Parallel()
	r := newArchiveRig(t, aptest.Suite{}, map[string]int{"second": large, "third": large})
	r.quota = 5 * large / 2
	r.open()
	r.timeouts = patientTimeouts
	r.update()
	at := func(name string) digest.Digest { return digest.Of(r.files[name].Data) }
	r.want(r.packageAt("small"), r.files["small"].Data)
	r.want(r.packageAt("large"), r.files["large"].Data)
	r.running.Wait()
	for i, name := range []string{"second", "third"} {
		got, err := r.download(local, at(name), peer.FetchAnywhere)
		if err != nil || !bytes.Equal(got, r.files[name].Data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		r.running.Wait()
		if kept := i == 0; r.held(at(name)) != kept {
			t.Errorf("%s is kept: %v, want %v", name, !kept, kept)
		}
	}
	if !r.held(at("small")) || !r.held(at("large")) {
		t.Error("what a client used was evicted")
	}
	r.want(r.packageAt("third"), r.files["third"].Data)
	r.running.Wait()
	if !r.held(at("third")) {
		t.Error("what a client wanted is not kept")
	}
}
