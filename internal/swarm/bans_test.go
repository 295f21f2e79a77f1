package swarm

import (
	"bytes"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// A box with several Slow faults is left out of Owners until its score recovers.
func TestExcludedOwner(t *testing.T) {
	t.Parallel()
	giver, taker, from := pair(t, nil)
	d := digest.Digest{}
	for bytes.Compare(weight(giver.self(), d), weight(taker.self(), d)) < 0 {
		d[0]++
	}
	if n := len(taker.Owners(d)); n != 1 {
		t.Fatalf("%d owners, want the giver", n)
	}
	for range 5 {
		from.Report(peer.Outcome{Fault: peer.Slow, Why: "stalled"})
	}
	if n := len(taker.Owners(d)); n != 0 {
		t.Errorf("%d owners, the giver is excluded", n)
	}
}

// A banned box is disconnected and cannot reconnect until the ban is lifted.
func TestBannedBox(t *testing.T) {
	t.Parallel()
	giver, taker, from := pair(t, nil)
	from.Report(peer.Outcome{Fault: peer.Lied, Why: "wrong bytes"})
	until(t, "the box to be cut off", func() bool { return taker.boxes.count() == 0 && giver.boxes.count() == 0 })
	if err := taker.host.Connect(t.Context(), giver.host.Peerstore().PeerInfo(giver.self())); err == nil {
		t.Error("a banned box is dialled")
	}
	if got := taker.Status().Banned; got != 1 {
		t.Errorf("Banned is %d, want 1", got)
	}
	if err := taker.Ban("nobody", time.Hour); err == nil {
		t.Error("a ban of what is no peer ID: no error")
	}
	if err := taker.Ban(giver.self().String(), 0); err != nil {
		t.Error(err)
	}
	if taker.banned(giver.self()) {
		t.Error("still banned after the ban was lifted")
	}
}
