package swarm

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/ipfs/go-cid"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// A box that lacks a blob that it claims to hold gets one fault, whether the claim
// is in its inventory or in the DHT. Without a claim it gets none.
func TestRefusalIsOneFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		claim func(t *testing.T, giver, taker *box, d digest.Digest)
		found bool // by the DHT
		tries int
		score float64
	}{
		{"listed", listFalsely, false, 1, 1. / (1 + 2)},
		{"found", func(*testing.T, *box, *box, digest.Digest) {}, true, 1, 1. / (1 + 2)},
		{"found and asked again", func(*testing.T, *box, *box, digest.Digest) {}, true, 2, 1. / (1 + 2)},
		{"listed and found", listFalsely, true, 1, 1. / (1 + 2)},
		{"neither", func(*testing.T, *box, *box, digest.Digest) {}, false, 1, 1},
		{"a download that ended", func(t *testing.T, giver, taker *box, d digest.Digest) {
			giver.Announce(d, true)
			until(t, "the download", func() bool { return len(taker.Downloaders(d)) == 1 })
		}, false, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			giver, taker, from := pair(t, nil)
			d := digest.Of([]byte(c.name))
			c.claim(t, giver, taker, d)
			from.found = c.found
			for range c.tries {
				if _, err := from.Open(t.Context(), d, peer.Request{}); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("got %v, want %v", err, fs.ErrNotExist)
				}
			}
			score := taker.reputation.Score(giver.self().String())
			if score < c.score-1e-3 || score > c.score+1e-3 { // penalties decay
				t.Errorf("score %.4f, want %.4f", score, c.score)
			}
		})
	}
}

// listFalsely has giver list d, which it does not have.
func listFalsely(t *testing.T, giver, taker *box, d digest.Digest) {
	giver.inventories.journal.Take(peer.Event{Digest: d, Held: true})
	until(t, "the false inventory", func() bool { return len(taker.Seeds(d)) == 1 })
}

// What the DHT finds carries the claim.
func TestFoundPeersClaim(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d := digest.Of([]byte("announced"))
	until(t, "the record to be sent", func() bool {
		return giver.dht.Provide(t.Context(), cid.NewCidV1(cid.Raw, multihashOf(d)), true) == nil
	})
	until(t, "the box to be found", func() bool {
		for p := range taker.Find(t.Context(), d) {
			return p.(*remote).found && p.ID() == giver.self().String()
		}
		return false
	})
}
