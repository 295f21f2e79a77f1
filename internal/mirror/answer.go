package mirror

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// read turns an answer into a Response, or into an error if it is not a
// file or does not match the request.
func read(r Request, resp *http.Response) (*Response, error) {
	h := resp.Header
	a := &Response{
		Status:       resp.StatusCode,
		Size:         -1,
		ETag:         parseETag(h.Get("ETag")),
		LastModified: parseTime(h.Get("Last-Modified")),
		HTML:         strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "text/html"),
		Body:         resp.Body,
		URL:          shown(resp.Request.URL),
		Cached:       h.Get("Age") != "",
	}
	if date := parseTime(h.Get("Date")); !date.IsZero() && !a.LastModified.IsZero() {
		a.Unsettled = date.Sub(a.LastModified) < time.Second
	}
	var err error
	switch resp.StatusCode {
	case http.StatusOK:
		a.Size = resp.ContentLength
	case http.StatusPartialContent:
		err = a.readRange(r, resp)
	case http.StatusNotModified:
		if !r.conditional() {
			err = errors.New("304 to a request without a condition")
		}
	default:
		return nil, &StatusError{
			URL: a.URL, Code: resp.StatusCode, RetryAfter: parseRetryAfter(h.Get("Retry-After"), time.Now()),
			LoggedIn: resp.Request.Header.Get("Authorization") != "", Challenges: challenges(h), Body: resp.ContentLength > 0,
		}
	}
	if err != nil {
		return nil, &AnswerError{URL: a.URL, Err: err}
	}
	return a, nil
}

// readRange checks that a 206 is the requested range, or the whole file, and
// bounds its body. Some servers send 206 whatever is requested, and say of what
// only if a range was; apt takes it.
func (a *Response) readRange(r Request, resp *http.Response) error {
	if !r.ranged() && resp.Header.Get("Content-Range") == "" {
		a.Size = resp.ContentLength
		return nil
	}
	s, err := parseContentRange(resp.Header.Get("Content-Range"))
	n := s.last - s.first + 1
	switch {
	case err != nil:
	case !r.ranged() && (s.first != 0 || s.last != s.size-1):
		return errors.New("206 to a request without a range, and not the whole file")
	case r.ranged():
		err = s.fits(r)
	}
	if err == nil && resp.ContentLength >= 0 && resp.ContentLength != n {
		err = fmt.Errorf("Content-Length %d with a range of %d bytes", resp.ContentLength, n)
	}
	if err != nil && r.ranged() {
		err = fmt.Errorf("%w: %w", ErrRange, err)
	}
	if err != nil {
		return err
	}
	a.Offset, a.Size = s.first, s.size
	if r.ranged() {
		n = min(s.last, lastOf(r.Offset, r.Length)) - s.first + 1
	}
	a.Body = &section{ReadCloser: resp.Body, left: n}
	return nil
}

// rangeHeader is the Range for n bytes from off on, or to the end for 0.
func rangeHeader(off, n int64) string {
	if n == 0 {
		return fmt.Sprintf("bytes=%d-", off)
	}
	return fmt.Sprintf("bytes=%d-%d", off, lastOf(off, n))
}

// lastOf is the position of the last of n bytes from off on, at most an int64's;
// with n = 0, to the end, that is past any file.
func lastOf(off, n int64) int64 {
	if n == 0 || off > math.MaxInt64-n {
		return math.MaxInt64
	}
	return off + n - 1
}

// contentRange is a Content-Range: positions of the first and the last byte, and
// the size of the whole file, -1 if the mirror does not know it.
type contentRange struct{ first, last, size int64 }

// parseContentRange reads "bytes 0-499/1234" or "bytes 0-499/*" (RFC 9110,
// section 14.4).
func parseContentRange(s string) (contentRange, error) {
	if s == "" {
		return contentRange{}, errors.New("206 without a Content-Range")
	}
	malformed := fmt.Errorf("malformed Content-Range %.80q", s)
	const unit = "bytes "
	if len(s) < len(unit) || !strings.EqualFold(s[:len(unit)], unit) {
		return contentRange{}, malformed
	}
	span, total, ok1 := strings.Cut(s[len(unit):], "/")
	from, to, ok2 := strings.Cut(span, "-")
	first, err1 := parsePosition(from)
	last, err2 := parsePosition(to)
	size, err3 := int64(-1), error(nil)
	if total != "*" {
		size, err3 = parsePosition(total)
	}
	if !ok1 || !ok2 || errors.Join(err1, err2, err3) != nil || last < first || size >= 0 && last >= size {
		return contentRange{}, malformed
	}
	return contentRange{first, last, size}, nil
}

// parsePosition takes digits alone, up to 2⁶³−2 so that one more still fits.
func parsePosition(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == math.MaxInt64 {
		return 0, fmt.Errorf("position %.30q", s)
	}
	return int64(n), nil
}

// fits checks that the range has what r requested, up to the end of the file.
// RFC 9110 lets a server send less; then the body would end before the file does.
// What goes beyond is not read: some servers take the 0 of 0-0 for no end at all.
func (c contentRange) fits(r Request) error {
	if c.first != r.Offset {
		return fmt.Errorf("a range from %d on instead of %d", c.first, r.Offset)
	}
	if want := min(lastOf(r.Offset, r.Length), c.size-1); c.size >= 0 && c.last < want {
		return fmt.Errorf("a range to %d instead of %d", c.last, want)
	}
	return nil
}

// maxETag bounds validators in bytes; those of real servers have about 40.
const maxETag = 256

// parseETag returns a well-formed entity tag (RFC 9110, section 8.8.3), weak
// ones with their W/, and nothing for any other.
func parseETag(s string) string {
	tag := strings.TrimPrefix(s, "W/")
	if len(s) > maxETag || len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return ""
	}
	for _, c := range []byte(tag[1 : len(tag)-1]) {
		if c <= ' ' || c == '"' || c == 0x7f {
			return ""
		}
	}
	return s
}

// parseTime returns the zero time for what is no HTTP date.
func parseTime(s string) time.Time {
	t, err := http.ParseTime(s)
	if err != nil {
		return time.Time{}
	}
	return t
}
