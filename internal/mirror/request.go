package mirror

import (
	"io"
	"strings"
	"time"
)

// Request is a GET for a file or a part of one.
type Request struct {
	URL string // absolute, http or https
	// Offset > 0 or Length > 0 requests a range; Length 0 is to the end.
	Offset, Length int64
	// IfRange guards a range: a strong ETag or an HTTP date. A mirror whose file
	// has another sends the whole. A weak ETag cannot guard one (RFC 9110,
	// section 13.1.5), so the whole file is requested.
	IfRange string
	// Revalidate makes caches on the way ask the mirror before they answer, as apt
	// does for all but packages; a Login does so too. Reload makes them fetch the
	// file again, since what they held was wrong.
	Revalidate, Reload bool
	// Validators of what is held already; both may be empty.
	IfNoneMatch, IfModifiedSince string
	// Patience is how long to wait for the header, connecting included, where there
	// is somebody else to ask; the error then wraps ErrSlow. 0 is as long as the
	// Client waits.
	Patience time.Duration
	// Small says that the file is a Release file, an index or small, or that only its
	// header is wanted: it may have one of the connections that are for such requests
	// alone.
	Small bool
	// Login is sent to the scheme, host and port of URL and to no other. Where a
	// redirect of a request with the box's own login leads to another, that gets
	// the box's for it, if there is one; otherwise no other host gets any.
	Login Login
	// Mirror is the one to ask, of Client.Mirrors; "" asks them in turn.
	Mirror string
	// Failover says that the caller can ask another mirror: Mirror is tried once, not
	// waited for as long as usual, and its body ends with ErrTooSlow if others of
	// the archive are known to be much faster.
	Failover bool
}

// ranged reports whether r requests a part.
func (r Request) ranged() bool {
	return (r.Offset > 0 || r.Length > 0) && !strings.HasPrefix(r.IfRange, "W/")
}

func (r Request) conditional() bool { return r.IfNoneMatch != "" || r.IfModifiedSince != "" }

// Response is a mirror's answer. Its Body is never nil and must be closed.
type Response struct {
	Status       int   // 200, 206 or 304
	Offset       int64 // where Body starts in the file; 0 after a request for a range: the mirror sends the whole file
	Size         int64 // of the whole file, -1 if not stated
	ETag         string
	LastModified time.Time // zero if not stated
	HTML         bool      // it is a page, by its Content-Type
	// Unsettled says that the answer was sent within a second of LastModified:
	// other bytes may get the same date (RFC 9110, section 8.8.2.2).
	Unsettled bool
	// Body fails with ErrStalled, an AnswerError with io.ErrUnexpectedEOF or the
	// context's error, and never sends a second request.
	Body   io.ReadCloser
	URL    string // after redirects; the request's own, if a mirror of its archive sent the answer itself
	Mirror string // the one that was asked, of Client.Mirrors
	// Private says why not anybody can fetch this from where it came from, "" if
	// anybody can: no login, public addresses at ports 80 and 443, for redirects
	// too, none of them in MILLPOND_ALLOW_UPSTREAMS or behind an upstream proxy.
	Private string
	// Cached says that a cache on the way answered, with what it held or has
	// revalidated (Age; RFC 9111, section 5.1).
	Cached bool
}
