package mirror

import (
	"net/http"
	"time"

	"millpond/internal/clock"
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
	Unsettled    bool          `json:",omitzero"` // Response.Unsettled: LastModified does not tell these bytes from others
	Seen         time.Time     // when these bytes were first seen
	Check                      // when the mirror last said that they are current
}

// Check is when a mirror last gave an answer, so that it need not be asked again
// for a while.
type Check struct {
	Checked time.Time
	Clock   clock.Reading `json:",omitzero"` // at Checked
}

// NewCopy is the Copy of bytes that came with r just now.
func NewCopy(d digest.Digest, size int64, r *Response) Copy {
	c := Copy{Digest: d, Size: size, ETag: r.ETag, LastModified: r.LastModified, Unsettled: r.Unsettled}
	c.Confirm()
	c.Seen = c.Checked
	return c
}

// Confirm records that the mirror has just answered.
func (c *Check) Confirm() { c.Checked, c.Clock = time.Now(), clock.Read() }

// CheckedBefore is the Check of an answer that a mirror gave so long ago.
func CheckedBefore(age time.Duration) Check {
	r := clock.Read()
	r.Passed -= age
	return Check{Checked: time.Now().Add(-age), Clock: r}
}

// Modified is the Last-Modified under which clients get the copy.
func (c Copy) Modified() time.Time {
	if c.LastModified.IsZero() {
		return c.Seen
	}
	return c.LastModified
}

// Request requests url unless the mirror, whatever caches are on the way, still has
// the same bytes there.
func (c Copy) Request(url string) Request {
	r := Request{URL: url, Revalidate: true}
	if c.Digest.IsZero() {
		return r
	}
	r.IfNoneMatch = c.ETag
	if !c.LastModified.IsZero() && !c.Unsettled {
		r.IfModifiedSince = c.LastModified.UTC().Format(http.TimeFormat)
	}
	return r
}

// revalidateAfter is how long ago a check must have ended for a client that wants
// the mirror asked (no-cache) to cause another one: a mirror gets one request a
// second for a file, however many such clients there are.
const revalidateAfter = time.Second

// Fresh reports whether what the mirror said, of a copy or of its absence, can be
// served without asking it again: within ttl of the last answer, or, for a client
// that wants it revalidated, within a second. After a start the mirror is asked: by a
// clock that was ahead before, and was set meanwhile, an old answer looks like a new one.
func (c Check) Fresh(ttl time.Duration, revalidate bool) bool {
	if revalidate {
		ttl = min(ttl, revalidateAfter)
	}
	_, most, ok := clock.Since(c.Checked, c.Clock)
	return ok && most < ttl && c.Clock.Own()
}

// Age is how long ago the mirror answered; 0 if nobody knows.
func (c Check) Age() time.Duration {
	_, most, _ := clock.Since(c.Checked, c.Clock)
	return most
}
