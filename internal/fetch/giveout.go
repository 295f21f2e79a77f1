package fetch

import (
	"time"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// This file decides what of a download is given out before the whole is verified, to
// clients and to peers alike: bytes of a mirror at once, but for the last ones; bytes
// of peers only where the file is too large to wait for all of it, and somebody
// vouches for them. The digest of the whole file decides in the end: then all is given
// out, or what was not trusted is forgotten and got again.

const (
	// holdback is how much of the end of a file nobody gets before the whole digest
	// matches, whoever sent it: so nobody has a complete wrong file. A file no longer
	// than this is verified before its first byte leaves; that is two packages in three
	// (apt-p2p's figures: 68 % under 256 kB). With more, a client on a slow line could
	// reach apt's limit of 30 s without a byte: this much takes 30 s at 70 kbit/s.
	holdback = 256 << 10

	// wholeSize is up to which size a file of peers is always verified whole first:
	// 27 s at 10 Mbit/s, within apt's 30 s.
	wholeSize = 32 << 20
)

// released returns how many bytes from off on may be given out: all once the whole file
// is verified, else those that are trusted, but none of the last holdback. fl.mu is held.
func (fl *flight) released(off int64) int64 {
	if fl.part == nil {
		return 0
	}
	if fl.ended {
		if fl.err != nil {
			return 0
		}
		return max(fl.size-off, 0)
	}
	if fl.whole {
		return max(fl.size-off, 0)
	}
	n := fl.part.Trusted(off)
	if fl.size >= 0 {
		return max(min(n, fl.size-holdback-off), 0)
	}
	return max(n-holdback, 0)
}

// syncPatience is how long a disk may take for a whole file before its clients get the
// rest of it and its place goes to another download. Most take some milliseconds, but of
// a file beyond wholeSize enough is left to write for its clients to notice: they do not
// wait for the disk at all.
const syncPatience = time.Second

// commit makes part a blob.
func (fl *flight) commit(part *store.Partial) (store.Info, error) {
	if sum, size, err := part.Verify(); err == nil {
		if size > wholeSize {
			fl.verified(sum, size)
		}
		defer time.AfterFunc(syncPatience, func() {
			fl.leavePlace()
			fl.verified(sum, size)
		}).Stop()
	}
	return part.Commit(fl.about())
}

// leavePlace lets another download begin.
func (fl *flight) leavePlace() {
	if place := fl.place.Load(); place != nil {
		place.Leave()
	}
}

// verified gives out all of the file, of size bytes: it is right, and whether the disk
// takes it in the end is no client's concern.
func (fl *flight) verified(sum digest.Digest, size int64) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.whole, fl.sum, fl.size = true, sum, size
	fl.changed.Fire()
}

// write writes bytes of src into part, and returns which of them were missing, or not
// trusted and are now. A mirror's replace what peers sent.
func (fl *flight) write(part *store.Partial, b []byte, off int64, src source) (written []store.Range, err error) {
	if src.Origin() != ledger.FromMirror {
		return part.Fill(b, off)
	}
	end := off + int64(len(b))
	news := part.Trusted(off) < int64(len(b))
	replaced, err := part.WriteTrusted(b, off)
	if replaced {
		fl.log.Info("mirror sent other bytes than a peer, taking the mirror's", "source", src.String(), "off", off)
	}
	if err != nil || !news {
		return nil, err
	}
	fl.forgot(off, end) // the bytes that were there, if any, are the mirror's from now on
	return []store.Range{{Off: off, End: end}}, nil
}

// isProven reports whether src vouches for what it sends: a member whose files were
// right so far.
func isProven(src source) bool {
	p, ok := src.(*peerSource)
	if !ok {
		return false
	}
	s := p.peer.Standing()
	return s.Kind == peer.Member && s.Proven
}

// vouched notes that what peers sent from off to end is vouched for. It is given out if
// the file is large, and not before it has had the time to arrive whole.
func (fl *flight) vouched(off, end int64) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.part == nil || fl.over || fl.size <= wholeSize {
		return
	}
	if n := len(fl.vouchedFor); n > 0 && fl.vouchedFor[n-1].End == off {
		fl.vouchedFor[n-1].End = end
	} else {
		fl.vouchedFor = append(fl.vouchedFor, store.Range{Off: off, End: end})
	}
	switch wait := fl.f.timeouts.whole - time.Since(fl.started); {
	case wait <= 0:
		fl.trust()
	case fl.trusting == nil:
		fl.trusting = time.AfterFunc(wait, func() {
			fl.mu.Lock()
			defer fl.mu.Unlock()
			fl.trust()
		})
	}
}

// trust gives out what is vouched for. fl.mu is held.
func (fl *flight) trust() {
	if fl.part == nil || fl.over {
		return
	}
	for _, r := range fl.vouchedFor {
		fl.part.Trust(r.Off, r.End)
	}
	fl.vouchedFor = nil
	fl.announce(true) // there is something to be had here now
	fl.changed.Fire()
}

// forget makes what is not trusted from off to end missing again.
func (fl *flight) forget(part *store.Partial, off, end int64) error {
	forgotten, err := part.Forget(off, end)
	for _, r := range forgotten {
		fl.forgot(r.Off, r.End)
	}
	return err
}

// forgot records that bytes are missing again, whoever vouched for them, or that they
// are another source's now.
func (fl *flight) forgot(off, end int64) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.attribution.forgot(off, end)
	var left []store.Range
	for _, r := range fl.vouchedFor {
		if r.Off < off {
			left = append(left, store.Range{Off: r.Off, End: min(r.End, off)})
		}
		if r.End > end {
			left = append(left, store.Range{Off: max(r.Off, end), End: r.End})
		}
	}
	fl.vouchedFor = left
}
