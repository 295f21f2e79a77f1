package dashboard

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"millpond/internal/digest"
	"millpond/internal/store"
)

// Blob is a file that is held.
type Blob struct {
	Digest   string    `json:"digest"`
	Name     string    `json:"name"` // of the file; "" if it is not known
	Size     int64     `json:"size"`
	From     []Source  `json:"from"`  // where its bytes came from, as far as that is known; never null, at most 8
	URL      string    `json:"url"`   // one place that it is listed at; "" if none is known
	Suite    string    `json:"suite"` // that lists it
	Signed   bool      `json:"signed"`
	Pinned   bool      `json:"pinned"`
	Modified time.Time `json:"modified"`
	Used     time.Time `json:"used"` // last asked for
}

// Source is a place that bytes of a file came from.
type Source struct {
	Origin string `json:"origin"` // "mirror" or "peer"
	Name   string `json:"name"`   // host or peer ID
}

// Found is what GET /api/v1/blobs returns: matches among a stretch of the
// names, and where to go on.
type Found struct {
	Items   []Blob `json:"items"`   // never null
	Next    string `json:"next"`    // give it as after=; "" at the end
	Scanned int    `json:"scanned"` // names that were looked at
}

const (
	// scanFor bounds one request that has to look at every name.
	scanFor = 400 * time.Millisecond
	// leastDigits is from how many hexadecimal digits on q may be a digest's
	// beginning. Fewer would find files by chance.
	leastDigits = 6
)

// search is one request's part of a search. It goes through the digests that
// begin with q, the names that do, and, when there are none or no more of
// those, all names for ones that contain q.
type search struct {
	*Dashboard
	answer Found
	q      string
	limit  int
	over   func() bool // the request has taken long enough
}

// The stages of a search that a cursor can be in.
const (
	beginning  = 'b' // names that begin with q
	containing = 'c' // others that contain it, in any case of letters
)

// cursor tells where a search goes on.
func cursor(stage byte, after string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{stage}, after...))
}

// parseCursor returns what cursor was given; the first stage for "".
func parseCursor(s string) (stage byte, after string, err error) {
	if s == "" {
		return beginning, "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) == 0 || b[0] != beginning && b[0] != containing {
		return 0, "", errors.New("after is the next of an answer before")
	}
	return b[0], string(b[1:]), nil
}

// blobs answers with the files whose name begins with q, then those whose name
// contains it, each in the order of names.
func (d *Dashboard) blobs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	win, err := windowOf(query)
	var stage byte
	var after string
	if err == nil {
		stage, after, err = parseCursor(query.Get("after"))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	begun := time.Now()
	s := &search{Dashboard: d, answer: Found{Items: []Blob{}}, q: query.Get("q"), limit: win.limit, over: func() bool {
		return time.Since(begun) > scanFor || r.Context().Err() != nil
	}}
	if stage == beginning {
		if query.Get("after") == "" {
			err = s.byDigest()
		}
		if err == nil {
			err = s.byName(beginning, s.q, after, func(string) bool { return true })
		}
		// What begins with q is most likely what was looked for; the rest
		// takes longer and can be asked for.
		if s.answer.Next == "" && len(s.answer.Items) > 0 && s.q != "" {
			s.answer.Next = cursor(containing, "")
		}
		after = ""
	}
	if err == nil && s.answer.Next == "" && s.q != "" {
		part := strings.ToLower(s.q)
		err = s.byName(containing, "", after, func(name string) bool {
			return strings.Contains(strings.ToLower(name), part) && !strings.HasPrefix(name, s.q)
		})
	}
	if err != nil {
		d.fail(w, err)
		return
	}
	d.json(w, http.StatusOK, s.answer)
}

// begins reports whether q is the beginning of b's digest.
func (s *search) begins(b digest.Digest) bool {
	return len(s.q) >= leastDigits && strings.HasPrefix(b.String(), strings.ToLower(s.q))
}

// byDigest finds blobs by their digest.
func (s *search) byDigest() error {
	if len(s.q) < leastDigits || len(s.q) > 64 {
		return nil
	}
	least, err := digest.Parse(strings.ToLower(s.q) + strings.Repeat("0", 64-len(s.q)))
	if err != nil {
		return nil // no digits
	}
	for info, err := range s.Store.From(least) {
		if err != nil {
			return err
		}
		if !s.begins(info.Digest) || len(s.answer.Items) == s.limit {
			return nil
		}
		s.answer.Items = append(s.answer.Items, s.blob(info))
	}
	return nil
}

// byName finds blobs whose names begin with prefix and match, from the one
// after after, until there are enough or the time is up.
func (s *search) byName(stage byte, prefix, after string, match func(name string) bool) error {
	for n, err := range s.Store.Names(prefix, after) {
		if err != nil {
			return err
		}
		s.answer.Scanned++
		if match(n.Name) && !s.begins(n.Digest) {
			info, err := s.Store.Stat(n.Digest)
			switch {
			case err == nil:
				s.answer.Items = append(s.answer.Items, s.blob(info))
			case !errors.Is(err, fs.ErrNotExist): // it is not removed meanwhile
				return err
			}
		}
		// One name at least, so that every request gets on.
		if len(s.answer.Items) >= s.limit || s.over() {
			s.answer.Next = cursor(stage, n.Position())
			return nil
		}
	}
	return nil
}

func (d *Dashboard) blob(info store.Info) Blob {
	b := Blob{
		Digest: info.Digest.String(), Name: info.Name, Size: info.Size, From: []Source{}, Pinned: info.Pinned,
		Modified: info.Modified.UTC(), Used: info.Used.UTC(),
	}
	for _, f := range info.From {
		source := Source{Origin: "mirror", Name: f.Name}
		if f.Peer {
			source.Origin = "peer"
		}
		b.From = append(b.From, source)
	}
	if e, ok := d.Describe(info.Digest); ok {
		b.URL, b.Suite, b.Signed = e.Location.String(), suiteName(e.Suite), e.Signed
	}
	return b
}
