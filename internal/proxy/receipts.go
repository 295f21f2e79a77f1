package proxy

import (
	"container/list"
	"hash/maphash"
	"net/http"
	"slices"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/front"
)

const (
	maxReceivers = 512
	// maxReceipts is of one party: more than most updates have packages.
	maxReceipts = 512
	// receiptAge is far more than somebody takes to run apt again.
	receiptAge = time.Hour
)

// receipts remember which files were sent in full to whom. A client that asks for one
// of them again may have found it damaged. When there is no room, the party that was
// sent nothing for the longest time is forgotten, and of one party its oldest file.
type receipts struct {
	mu      sync.Mutex
	parties map[front.Party]*list.Element // of *receiver
	order   *list.List                    // the last to be sent something first
}

func newReceipts() receipts {
	return receipts{parties: make(map[front.Party]*list.Element), order: list.New()}
}

// receiver is what is remembered of a party.
type receiver struct {
	party front.Party
	files []receipt
	next  int // the oldest, when there are maxReceipts
}

type receipt struct {
	file uint64
	at   time.Time
}

var fileSeed = maphash.MakeSeed()

// fileKey is a hash of a file's digest or, if that is not known, of its name, so that
// long names take no memory. Two files with the same key cost a needless check.
func fileKey(e catalog.Entry) uint64 {
	if e.Kind == catalog.Content {
		return maphash.Comparable(fileSeed, e.Digest)
	}
	return maphash.Comparable(fileSeed, e.Location)
}

// add records that a party was sent a file.
func (r *receipts) add(party front.Party, e catalog.Entry) {
	key, now := fileKey(e), time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	el := r.parties[party]
	if el == nil {
		el = r.order.PushFront(&receiver{party: party})
		r.parties[party] = el
	}
	r.order.MoveToFront(el)
	el.Value.(*receiver).add(receipt{key, now})
	for last := r.order.Back(); r.order.Len() > maxReceivers || last.Value.(*receiver).ended(); last = r.order.Back() {
		r.remove(last)
	}
}

// has reports whether a party was sent a file within receiptAge.
func (r *receipts) has(party front.Party, e catalog.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	el := r.parties[party]
	if el == nil {
		return false
	}
	files := el.Value.(*receiver).files
	i := indexOf(files, fileKey(e))
	return i >= 0 && time.Since(files[i].at) < receiptAge
}

// forget removes what is remembered of a party.
func (r *receipts) forget(party front.Party) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if el := r.parties[party]; el != nil {
		r.remove(el)
	}
}

// remove removes a party. The caller holds r.mu.
func (r *receipts) remove(el *list.Element) {
	delete(r.parties, r.order.Remove(el).(*receiver).party)
}

func (r *receiver) add(new receipt) {
	i := indexOf(r.files, new.file)
	switch {
	case i >= 0:
		r.files[i].at = new.at
	case len(r.files) < maxReceipts:
		r.files = append(r.files, new)
	default:
		r.files[r.next] = new
		r.next = (r.next + 1) % maxReceipts
	}
}

// ended reports whether no receipt counts any more.
func (r *receiver) ended() bool {
	return !slices.ContainsFunc(r.files, func(f receipt) bool { return time.Since(f.at) < receiptAge })
}

func indexOf(files []receipt, file uint64) int {
	return slices.IndexFunc(files, func(f receipt) bool { return f.file == file })
}

// wantsAll reports whether a request is for a whole file, whatever the client has.
func wantsAll(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Range") == "" && r.Header.Get("If-None-Match") == ""
}
