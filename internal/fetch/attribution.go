package fetch

import (
	"container/list"
	"slices"

	"millpond/internal/digest"
	"millpond/internal/fetch/access"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

// This file decides what a delivered byte counts as. There is one rule: the
// first client that reads a byte is the one for whom it was taken, so for that
// client the byte counts as the mirror's or the peer's that sent it; for all
// others it counts as the store's. What peers and the catalog read counts as
// delivered to nobody.

// attribution applies the rule to one download. Its zero value is an empty
// file. It is guarded by the flight's mu.
type attribution struct {
	spans  []span // who sent what; ascending
	readTo int64  // clients have read all below, or one is about to
}

// span says that the bytes from off to end came from a source, of that origin.
type span struct {
	off, end int64
	origin   ledger.Origin
	source   string // its name; empty for the store
}

// wrote records bytes that came in. A byte that is there stays what it is, as
// in the store: two sources may send the same piece, or what an earlier
// attempt left of one.
func (a *attribution) wrote(off, end int64, origin ledger.Origin, source string) {
	i, _ := slices.BinarySearchFunc(a.spans, off, func(o span, off int64) int {
		if o.end <= off {
			return -1
		}
		return 1
	})
	for ; off < end; i++ {
		next := span{off: end}
		if i < len(a.spans) {
			next = a.spans[i]
		}
		if to := min(end, next.off); to > off && !a.extend(i, off, to, source) {
			a.spans = slices.Insert(a.spans, i, span{off, to, origin, source})
			i++
		}
		off = max(off, next.end)
		if next.end == 0 {
			return
		}
	}
}

// extend makes the span before i longer if it ends at off and is of the same
// source: all that a download in order does.
func (a *attribution) extend(i int, off, to int64, source string) bool {
	if i == 0 || a.spans[i-1].end != off || a.spans[i-1].source != source {
		return false
	}
	a.spans[i-1].end = to
	return true
}

// forgot records that bytes are missing again.
func (a *attribution) forgot(off, end int64) {
	var left []span
	for _, s := range a.spans {
		before, after := s, s
		before.end, after.off = min(s.end, off), max(s.off, end)
		for _, s := range []span{before, after} {
			if s.off < s.end {
				left = append(left, s)
			}
		}
	}
	a.spans = left
}

// senders returns how many of the bytes that are there each source has sent, by name.
func (a *attribution) senders() map[string]int64 {
	all := make(map[string]int64)
	for _, s := range a.spans {
		if s.source != "" {
			all[s.source] += s.end - s.off
		}
	}
	return all
}

// sender returns the one source that has sent all from off to end; "" for none.
func (a *attribution) sender(off, end int64) string {
	for _, s := range a.spans {
		if s.off <= off && end <= s.end {
			return s.source
		}
	}
	return ""
}

// next returns how many of the n bytes from off on have one origin, and that
// origin; 0 while the origin of bytes just written is not recorded.
func (a *attribution) next(off, n int64) (int64, ledger.Origin) {
	if off < a.readTo {
		return min(n, a.readTo-off), ledger.FromStore
	}
	for _, s := range a.spans {
		if off >= s.off && off < s.end {
			return min(n, s.end-off), s.origin
		}
	}
	return 0, ledger.FromStore
}

// delivered records that a client reads up to end.
func (a *attribution) delivered(end int64) { a.readTo = max(a.readTo, end) }

// handOver returns where a whole file came from that no client has read, for
// the one client to whom it is then attributed.
func (a *attribution) handOver() (origin ledger.Origin, ok bool) {
	if a.readTo > 0 || len(a.spans) == 0 {
		return 0, false
	}
	a.readTo = a.spans[len(a.spans)-1].end
	return a.spans[0].origin, true
}

// maxUnread bounds how many files are remembered that arrived before a client
// read them. A client's pipeline has ten, a large update wave some thousands.
const maxUnread = 16 << 10

// unread is held files that no client has read, and where they came from. It
// forgets the oldest when it is full; those count as the store's, which
// overstates what the cache saved. It is guarded by the Fetcher's mu.
type unread struct {
	files  map[digest.Digest]*list.Element
	oldest list.List // of unreadFile
	limit  int
}

type unreadFile struct {
	digest digest.Digest
	origin ledger.Origin
}

func newUnread(limit int) *unread {
	return &unread{files: make(map[digest.Digest]*list.Element), limit: limit}
}

// add remembers that d came from origin.
func (u *unread) add(d digest.Digest, origin ledger.Origin) {
	u.take(d)
	if len(u.files) >= u.limit {
		u.take(u.oldest.Front().Value.(unreadFile).digest)
	}
	u.files[d] = u.oldest.PushBack(unreadFile{d, origin})
}

// take returns where d came from, once.
func (u *unread) take(d digest.Digest) (origin ledger.Origin, ok bool) {
	e, ok := u.files[d]
	if !ok {
		return 0, false
	}
	delete(u.files, d)
	return u.oldest.Remove(e).(unreadFile).origin, true
}

// land takes a flight that ended out of those in progress. If it brought content
// that no client reads, or is about to, it remembers where that came from.
func (f *Fetcher) land(fl *flight, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flights, fl.key)
	if err != nil || fl.key.digest.IsZero() {
		return
	}
	if origin, ok := fl.handOver(); ok {
		f.unread.add(fl.key.digest, origin)
	}
}

// attribute returns what the held blob d counts as for a client that is about
// to read it. The flight that brought it, as a file of one of the sizes, may not have
// landed yet.
func (f *Fetcher) attribute(d digest.Digest, sizes ...int64) ledger.Origin {
	f.mu.Lock()
	defer f.mu.Unlock()
	if origin, ok := f.unread.take(d); ok {
		return origin
	}
	for _, size := range sizes {
		if fl := f.flights[flightKey{digest: d, size: size}]; fl != nil {
			if origin, ok := fl.handOver(); ok {
				return origin
			}
		}
	}
	return ledger.FromStore
}

// held completes the answer to r with a held blob that its client may have.
func (f *Fetcher) held(r Request, file *File) *File {
	if r.Index {
		f.learnStored(r.Entry)
		f.catalog.Await(r.Entry)
	}
	blob := file.Body.(StoredBody).Blob
	file.Public = !access.Private(blob.Info())
	file.Body = StoredBody{blob, f.attribute(r.Digest, r.Size, -1)}
	return file
}

// handOver is attribution.handOver, unless a client reads the flight or is
// about to.
func (fl *flight) handOver() (origin ledger.Origin, ok bool) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	clients := fl.readers
	for b := range fl.bodies {
		if !b.client {
			clients--
		}
	}
	if fl.passthrough != nil || clients > 0 {
		return 0, false
	}
	return fl.attribution.handOver()
}

// senders returns how many of the bytes that are there each source has sent, by name.
func (fl *flight) senders() map[string]int64 {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.attribution.senders()
}

// from returns who sent the bytes that are there, in the order of the file. fl.mu is held.
func (fl *flight) from() (all []store.Provenance) {
	for _, s := range fl.attribution.spans {
		if r, ok := fl.records[s.source]; ok && !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// sender returns the one source that has sent all from off to end; "" for none.
func (fl *flight) sender(off, end int64) string {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.attribution.sender(off, end)
}

// soleBesideMirror returns the one source of what is in doubt, if a mirror has sent all
// else; "" for none.
func (fl *flight) soleBesideMirror(doubt []store.Range) (sole string) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	for _, s := range fl.attribution.spans {
		doubtful := slices.ContainsFunc(doubt, func(r store.Range) bool { return r.Off < s.end && s.off < r.End })
		switch {
		case !doubtful && s.origin != ledger.FromMirror, doubtful && sole != "" && s.source != sole:
			return ""
		case doubtful:
			sole = s.source
		}
	}
	return sole
}
