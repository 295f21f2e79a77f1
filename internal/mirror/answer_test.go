package mirror

import (
	"fmt"
	"strings"
	"testing"
)

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-499/1234", "bytes 2-4/*", "BYTES 0-0/1", "bytes 5-4/9", "bytes 0-9/9", "bytes */5", "bytes +1-2/3", "bytes 0-9223372036854775806/9223372036854775807", "bytes 1-2/3/4", "bytes", "items 0-1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseContentRange(s)
		if err != nil {
			return
		}
		if c.first < 0 || c.last < c.first || c.last-c.first+1 <= 0 || c.size != -1 && c.size <= c.last {
			t.Fatalf("%q gave %+v", s, c)
		}
		total := "*"
		if c.size >= 0 {
			total = fmt.Sprint(c.size)
		}
		if again, err := parseContentRange(fmt.Sprintf("bytes %d-%d/%s", c.first, c.last, total)); err != nil || again != c {
			t.Errorf("%q gave %+v, written out %+v, %v", s, c, again, err)
		}
	})
}

func FuzzParseETag(f *testing.F) {
	for _, s := range []string{`"a"`, `W/"a"`, `""`, `"`, `W/`, `a`, `"a"b"`, "\"a\nb\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if tag := parseETag(s); tag != "" && (tag != s || len(tag) > maxETag || strings.ContainsAny(tag, "\r\n\x00 ") || strings.Count(tag, `"`) != 2) {
			t.Errorf("%q gave %q", s, tag)
		}
	})
}
