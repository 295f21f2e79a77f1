package dashboard

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"millpond/internal/digest"
	"millpond/internal/store"
)

// Blob is a file that is held.
type Blob struct {
	Digest   string    `json:"digest"`
	Size     int64     `json:"size"`
	URL      string    `json:"url"`   // one place that it is listed at; "" if none is known
	Suite    string    `json:"suite"` // that lists it
	Signed   bool      `json:"signed"`
	Pinned   bool      `json:"pinned"`
	Modified time.Time `json:"modified"`
	Used     time.Time `json:"used"` // last asked for
}

// Found is what GET /api/v1/blobs returns: matches among a stretch of the
// store, and where to go on.
type Found struct {
	Items   []Blob `json:"items"`   // never null
	Next    string `json:"next"`    // give it as after=; "" at the end of the store
	Scanned int    `json:"scanned"` // files that were looked at
}

// scanFor bounds one request: there is no index by name, since that would
// grow with the store.
const scanFor = 400 * time.Millisecond

// blobs answers with the files whose name or digest contains q, in the order
// of their digests, from the one after after.
func (d *Dashboard) blobs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	win, err := windowOf(q)
	var after digest.Digest
	if s := q.Get("after"); s != "" && err == nil {
		if after, err = digest.Parse(s); err != nil {
			err = fmt.Errorf("after: %w", err)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := Found{Items: []Blob{}}
	part, begun := strings.ToLower(q.Get("q")), time.Now()
	for info, err := range d.Store.All() {
		if err != nil {
			d.fail(w, err)
			return
		}
		if string(info.Digest[:]) <= string(after[:]) {
			continue
		}
		answer.Scanned++
		if b := d.blob(info); b.matches(part) {
			answer.Items = append(answer.Items, b)
		}
		// One at least, so that every request gets on.
		if len(answer.Items) >= win.limit || time.Since(begun) > scanFor || r.Context().Err() != nil {
			answer.Next = info.Digest.String()
			break
		}
	}
	d.json(w, http.StatusOK, answer)
}

func (d *Dashboard) blob(info store.Info) Blob {
	b := Blob{
		Digest: info.Digest.String(), Size: info.Size, Pinned: info.Pinned,
		Modified: info.Modified.UTC(), Used: info.Used.UTC(),
	}
	if e, ok := d.Describe(info.Digest); ok {
		b.URL, b.Suite, b.Signed = e.Location.String(), suiteName(e.Suite), e.Signed
	}
	return b
}

func (b *Blob) matches(part string) bool {
	name := b.URL[strings.LastIndexByte(b.URL, '/')+1:]
	return strings.Contains(strings.ToLower(name), part) || strings.Contains(b.Digest, part)
}
