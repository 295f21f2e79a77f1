package catalog

import (
	"slices"
	"sync"
	"sync/atomic"

	"millpond/internal/digest"
)

// register lists what is being learned: indices, from the start of their
// download on, and Release files that are being checked.
type register struct {
	waits atomic.Int32 // in reaches; most look-ups need no more than this

	mu      sync.Mutex       // guards all below
	all     ongoing          // checks and awaited indices
	reaches map[Location]int // awaited indices, by the topmost directory of what they list
	digests map[digest.Digest]*ongoingIndex
}

// ongoingIndex is the learning of an index.
type ongoingIndex struct {
	ongoing
	awaited []Location // the topmost directories, below which Resolve waits
}

// ongoing is some work that others may wait for. The zero value is none.
type ongoing struct {
	n    int           // begun and not ended
	over chan struct{} // closed when n is 0 again; nil while it is
}

func (o *ongoing) begin() {
	if o.n++; o.over == nil {
		o.over = make(chan struct{})
	}
}

func (o *ongoing) end() (over bool) {
	if o.n--; o.n > 0 {
		return false
	}
	close(o.over)
	o.over = nil
	return true
}

// BeginLearning notes that e is about to be learned: an index, or a Release
// file that is being checked with its mirror. Resolve waits for neither, but
// for an index once Await was called. end must be called, after LearnIndex or
// Adopt; only its first call counts.
func (c *Catalog) BeginLearning(e Entry) (end func()) {
	c.learning.begin(e)
	return sync.OnceFunc(func() {
		c.learning.end(e)
		c.progress.Fire()
	})
}

// Await notes that a client has asked for the index e. If it is being learned,
// Resolve waits for it from now on: the client asks for what it lists next. An
// index that is read for nobody holds up nobody.
func (c *Catalog) Await(e Entry) { c.learning.await(e) }

// Learning returns a channel that is closed when the index d is no longer
// being learned, well or not. It is nil if d is not being learned.
func (c *Catalog) Learning(d digest.Digest) <-chan struct{} {
	r := &c.learning
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.digests[d]; o != nil {
		return o.over
	}
	return nil
}

// Idle returns a channel that is closed when nothing is being learned any
// more: no Release file, and no index that a client has asked for. It is nil
// if nothing is.
func (c *Catalog) Idle() <-chan struct{} {
	r := &c.learning
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.over
}

func (r *register) begin(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Kind == ReleaseFile {
		r.all.begin()
		return
	}
	if r.digests == nil {
		r.reaches, r.digests = make(map[Location]int), make(map[digest.Digest]*ongoingIndex)
	}
	o := r.digests[e.Digest]
	if o == nil {
		o = new(ongoingIndex)
		r.digests[e.Digest] = o
	}
	o.begin()
}

func (r *register) await(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.digests[e.Digest]
	at := reach(e)
	if o == nil || slices.Contains(o.awaited, at) {
		return
	}
	o.awaited = append(o.awaited, at)
	r.all.begin()
	r.reaches[at]++
	r.waits.Add(1)
}

func (r *register) end(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Kind == ReleaseFile {
		r.all.end()
		return
	}
	o := r.digests[e.Digest]
	if !o.end() {
		return
	}
	delete(r.digests, e.Digest)
	for _, at := range o.awaited {
		if r.reaches[at]--; r.reaches[at] == 0 {
			delete(r.reaches, at)
		}
		r.waits.Add(-1)
		r.all.end()
	}
}

// mayList reports whether an index is awaited that may list l.
func (r *register) mayList(l Location) bool {
	if r.waits.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for dir := range r.reaches {
		if _, ok := l.beneath(dir); ok {
			return true
		}
	}
	return false
}
