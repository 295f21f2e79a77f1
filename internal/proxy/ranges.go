package proxy

import (
	"net/http"
	"strconv"
	"strings"
)

// onlyRanges drops a Range of another unit, which must be ignored, and a malformed
// one, which may be (RFC 9110, section 14.2). net/http refuses both with 416, which
// makes apt and others drop what they have.
func onlyRanges(h http.Header) {
	value := h.Get("Range")
	unit, set, ok := strings.Cut(value, "=")
	if !ok || len(h.Values("Range")) > 1 || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || !isRangeSet(set) {
		h.Del("Range")
		return
	}
	h.Set("Range", "bytes="+set)
}

// isRangeSet reports whether s is "0-499, 500-, -10" or the like.
func isRangeSet(s string) bool {
	some := false
	for r := range strings.SplitSeq(s, ",") {
		if r = strings.Trim(r, " \t"); r == "" {
			continue
		}
		from, to, ok := strings.Cut(r, "-")
		first, end := isPosition(from), isPosition(to)
		switch {
		case !ok, !first && from != "", !end && to != "", !first && !end:
			return false
		case first && end && less(to, from):
			return false
		case !first && strings.Trim(to, "0") == "": // the last 0 bytes
			return false
		}
		some = true
	}
	return some
}

// isPosition reports whether s is a number that net/http takes.
func isPosition(s string) bool {
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// less compares positions.
func less(a, b string) bool {
	x, _ := strconv.ParseUint(a, 10, 63)
	y, _ := strconv.ParseUint(b, 10, 63)
	return x < y
}
