package dashboard

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"strings"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

const (
	// scanFor bounds one request that has to look at every name.
	scanFor = 400 * time.Millisecond
	// minDigits is how many hexadecimal digits q has at least to be taken for
	// the beginning of a digest. Fewer would find files by chance.
	minDigits = 6
)

// search is one request's part of a search. It goes through the digests that
// begin with q, the names that do, and, when there are none or no more of
// those, all names for ones that contain q.
type search struct {
	*Dashboard
	answer api.Found
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

// blobQuery asks for files by name or digest.
type blobQuery struct {
	Q     string `query:"q" doc:"beginning or part of the file's name, or at least six digits of the beginning of its digest"`
	After string `query:"after" doc:"where to go on: next of the last answer"`
	Limited
}

// findBlobs returns the files whose name begins with q, then those whose name
// contains it, each in the order of names.
func (d *Dashboard) findBlobs(ctx context.Context, q *blobQuery) (api.Found, error) {
	stage, after, err := parseCursor(q.After)
	if err != nil {
		return api.Found{}, wrong("%v", err)
	}
	begun := time.Now()
	s := &search{Dashboard: d, answer: api.Found{Items: []api.Blob{}}, q: q.Q, limit: q.Limit, over: func() bool {
		return time.Since(begun) > scanFor || ctx.Err() != nil
	}}
	if stage == beginning {
		if q.After == "" {
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
	return s.answer, err
}

// begins reports whether q is the beginning of b's digest.
func (s *search) begins(b digest.Digest) bool {
	return len(s.q) >= minDigits && strings.HasPrefix(b.String(), strings.ToLower(s.q))
}

// byDigest finds blobs by their digest.
func (s *search) byDigest() error {
	if len(s.q) < minDigits || len(s.q) > 64 {
		return nil
	}
	least, err := digest.Parse(strings.ToLower(s.q) + strings.Repeat("0", 64-len(s.q)))
	if err != nil {
		return nil // no digits
	}
	for info, err := range s.store.From(least) {
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
// behind the position after, until there are enough or the time is up.
func (s *search) byName(stage byte, prefix, after string, match func(name string) bool) error {
	for n, err := range s.store.Names(prefix, after) {
		if err != nil {
			return err
		}
		s.answer.Scanned++
		if match(n.Name) && !s.begins(n.Digest) {
			info, err := s.store.Stat(n.Digest)
			switch {
			case err == nil:
				s.answer.Items = append(s.answer.Items, s.blob(info))
			case !errors.Is(err, fs.ErrNotExist): // it is not removed meanwhile
				return err
			}
		}
		// One name at least, so that every request makes progress.
		if len(s.answer.Items) >= s.limit || s.over() {
			s.answer.Next = cursor(stage, n.Position())
			return nil
		}
	}
	return nil
}

func (d *Dashboard) blob(info store.Info) api.Blob {
	b := api.Blob{
		Digest: info.Digest.String(), Name: info.Name, Size: info.Size, From: []api.Source{}, Pinned: info.Pinned,
		Modified: info.Modified.UTC(), Used: info.Used.UTC(), Package: packageOf(info.Name),
	}
	for _, f := range info.From {
		source := api.Source{Origin: "mirror", Name: f.Name}
		if f.Peer {
			source.Origin = "peer"
		}
		b.From = append(b.From, source)
	}
	if e, ok := d.catalog.Describe(info.Digest); ok {
		b.URL, b.Suite, b.Signed = e.Location.String(), suiteName(e.Suite), e.Signed
	}
	return b
}

// packageOf is the package that a file of this name is of, "" for none.
func packageOf(name string) string {
	return catalog.Location{Path: "/" + name}.Package()
}
