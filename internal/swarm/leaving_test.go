package swarm

import (
	"errors"
	"io/fs"
	"testing"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// A box that is about to stop is asked to fetch nothing more.
func TestLeave(t *testing.T) {
	t.Parallel()
	n := meetNeighbours(t, peer.Local)
	until(t, "the neighbour is an owner", func() bool { return n.owns(n.one) })
	n.one.Leave()
	until(t, "the box has heard of it", func() bool { return n.box.leaves(n.one.self()) })
	if n.owns(n.one) {
		t.Error("the box that leaves is asked to fetch")
	}
	if !n.owns(n.another) {
		t.Error("another box is asked no longer")
	}
}

// One that has not heard of it is told that the box does not know the file, and does not
// blame it for that.
func TestLeavingFetchesNothing(t *testing.T) {
	t.Parallel()
	a := acquaint(t, peer.Local)
	until(t, "the other box may have this one fetch", func() bool { return hasBoxFetch(t, a, true) })
	a.box.Leave()
	_, err := a.other.peer(a.box.self()).Open(t.Context(), digest.Of([]byte("held by nobody")), peer.Request{Fetch: peer.FetchAnywhere})
	if !errors.Is(err, fs.ErrNotExist) || len(a.asked) > 0 {
		t.Errorf("asked nevertheless: %v, %d requests to fetch", err, len(a.asked))
	}
	if score := a.other.reputation.Score(a.box.self().String()); score != 1 {
		t.Errorf("its score is %v", score)
	}
}
