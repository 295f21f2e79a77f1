package mirror

import (
	"net/http"
	"time"

	"millpond/internal/digest"
)

// Copy is what is known of the copy of a file that is held: the bytes last seen
// under its URL, and how to ask the mirror whether they are still the same (RFC
// 9110, section 13). It is kept as JSON.
type Copy struct {
	Digest       digest.Digest // zero if there is none
	Size         int64         // bytes
	ETag         string        // "" if the mirror stated none
	LastModified time.Time     // zero if the mirror stated none
	Seen         time.Time     // when these bytes were first seen
	Checked      time.Time     // when the mirror last said that they are current
}

// NewCopy is the Copy of bytes that came with r just now.
func NewCopy(d digest.Digest, size int64, r *Response) Copy {
	now := time.Now()
	return Copy{Digest: d, Size: size, ETag: r.ETag, LastModified: r.LastModified, Seen: now, Checked: now}
}

// Modified is the Last-Modified under which clients get the copy.
func (c Copy) Modified() time.Time {
	if c.LastModified.IsZero() {
		return c.Seen
	}
	return c.LastModified
}

// Request requests url unless the mirror still has the same bytes there.
func (c Copy) Request(url string) Request {
	r := Request{URL: url}
	if c.Digest.IsZero() {
		return r
	}
	r.IfNoneMatch = c.ETag
	if !c.LastModified.IsZero() {
		r.IfModifiedSince = c.LastModified.UTC().Format(http.TimeFormat)
	}
	return r
}

// revalidateAfter is how long ago a check must have ended for a client that wants
// the mirror asked (no-cache) to cause another one: a mirror gets one request a
// second for a file, however many such clients there are.
const revalidateAfter = time.Second

// Fresh reports whether the copy, or the absence of one that was recorded with
// Checked, can be served without asking the mirror: within ttl of the last
// check, or, for a client that wants it revalidated, within a second. A check
// in the future was recorded before the clock was set back, and counts for
// nothing.
func (c Copy) Fresh(ttl time.Duration, revalidate bool) bool {
	if revalidate {
		ttl = min(ttl, revalidateAfter)
	}
	age := time.Since(c.Checked)
	return 0 <= age && age < ttl
}
