package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millpond/internal/ledger"
)

func TestOddRanges(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("0123456789", 500)
	b := newBox(nil)
	b.files[debURL] = holds(t, []byte(data))
	b.files[headURL] = gives([]byte(data), ledger.FromMirror)
	b.serve(t)
	for value, want := range map[string]string{
		"bytes=10-19": data[10:20], "Bytes=10-19": data[10:20], "bytes=-5": data[4995:], "bytes= 10-19": data[10:20],
		"items=0-5": data, "bytes": data, "bytes=": data, "bytes=a-b": data, "bytes=9-5": data, "bytes=-": data, "bytes=-0": data,
		"bytes=5": data, "bytes=+1-2": data, "bytes=1--2": data, "bytes=99999999999999999999-": data, "0-5": data, "bytes=,": data,
	} {
		for _, url := range []string{debURL, headURL} {
			resp, body := b.do(t, "GET", url, "Range: "+value)
			status := http.StatusPartialContent
			if want == data {
				status = http.StatusOK
			}
			if resp.StatusCode != status || body != want {
				t.Errorf("%q: %s, %d bytes", value, resp.Status, len(body))
			}
		}
	}
}

// FuzzRange holds that what is left of a Range is never refused as malformed.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=5-,-3", "bytes=9-5", "items=1-2", "bytes=-0", "bytes= 1-2 ,", "bytes=1- 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Range", s)
		onlyRanges(r.Header)
		w := httptest.NewRecorder()
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
		if w.Code == http.StatusRequestedRangeNotSatisfiable && w.Header().Get("Content-Range") == "" {
			t.Errorf("%q became %q: %d %s", s, r.Header.Get("Range"), w.Code, w.Body)
		}
	})
}
