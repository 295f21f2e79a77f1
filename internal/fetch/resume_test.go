package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// resumed is how a mirror behaves that cuts a file in its middle.
type resumed struct {
	name         string
	first, later string // ETags; "" is none
	// part says that a request for a range gets one, whatever If-Range says;
	// code, if not 0, is the status of the answer to it.
	part    bool
	code    int
	same    bool // the file has not changed
	ranges  int32
	wholes  int32
	chunked bool
}

var resumes = []resumed{
	{name: "the same strong ETag", first: `"A"`, later: `"A"`, part: true, same: true, ranges: 1, wholes: 1},
	{name: "another ETag", first: `"A"`, later: `"B"`, part: true, ranges: 1, wholes: 2},
	{name: "another ETag, same bytes", first: `"A"`, later: `"B"`, part: true, same: true, ranges: 1, wholes: 2},
	{name: "no ETag with the part", first: `"A"`, part: true, ranges: 1, wholes: 2},
	{name: "a weak one with the part", first: `"A"`, later: `W/"A"`, part: true, ranges: 1, wholes: 2},
	{name: "a weak ETag", first: `W/"A"`, later: `W/"A"`, part: true, wholes: 2},
	{name: "a weak ETag, same bytes", first: `W/"A"`, later: `W/"A"`, part: true, same: true, wholes: 2},
	{name: "no ETag", part: true, wholes: 2},
	{name: "no ETag, same bytes", part: true, same: true, wholes: 2},
	{name: "no ETag, no length, same bytes", part: true, same: true, wholes: 2, chunked: true},
	{name: "the whole, changed", first: `"A"`, later: `"B"`, ranges: 1, wholes: 1},
	{name: "the whole, same bytes", first: `"A"`, later: `"B"`, same: true, ranges: 1, wholes: 1},
	{name: "416, changed", first: `"A"`, later: `"B"`, code: 416, ranges: 1, wholes: 2},
	{name: "416, same bytes", first: `"A"`, later: `"A"`, code: 416, same: true, ranges: 1, wholes: 2},
}

// TestResumesAreNoMixture: parts are joined only under the same strong ETag;
// otherwise the file is taken from the beginning on and compared. A client that
// has some of a file that changed is cut, one that has none gets the new one.
func TestResumesAreNoMixture(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	for _, how := range resumes {
		for _, size := range []int{small, large} {
			t.Run(fmt.Sprintf("%s, %d bytes", how.name, size), func(t *testing.T) {
				t.Parallel()
				how.run(t, r, size)
			})
		}
	}
}

func (how resumed) run(t *testing.T, r *rig, size int) {
	before := bytes.Repeat([]byte("old "), size/4)
	after := before
	if !how.same {
		after = bytes.Repeat([]byte("new "), size/4)
	}
	read := make(chan struct{}) // by the client, some of the large file
	var ranges, wholes atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranged := r.Header.Get("Range") != ""
		if ranged {
			ranges.Add(1)
		} else if wholes.Add(1) == 1 {
			how.cut(w, before, read)
		}
		how.answer(w, ranged, after)
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	must(t, err)
	l, err := catalog.ParseLocation("http", u.Host, "/debian/"+unlisted)
	must(t, err)
	f, err := func() (*File, error) {
		if size == small {
			close(read)
		}
		return r.Get(t.Context(), Request{Entry: r.catalog.Resolve(t.Context(), l, nil)})
	}()
	must(t, err)
	defer f.Body.Close()
	var got bytes.Buffer
	if size > small {
		_, err = io.CopyN(&got, f.Body, int64(size/8))
		must(t, err)
		close(read)
	}
	_, err = io.Copy(&got, f.Body)
	switch {
	case size > small && !how.same:
		if err == nil || !bytes.HasPrefix(before, got.Bytes()) {
			t.Errorf("got %d bytes, %v, of a file that changed", got.Len(), err)
		}
	case err != nil || !bytes.Equal(got.Bytes(), after):
		t.Errorf("got %d bytes, %v", got.Len(), err)
	}
	more := int32(0)
	if !how.same { // begun anew, after one or two answers about the new file
		more = 1
	}
	// A client that is cut does not wait for the end of the download.
	again, err := r.Get(t.Context(), Request{Entry: r.catalog.Resolve(t.Context(), l, nil)})
	must(t, err)
	defer again.Body.Close()
	if b, err := io.ReadAll(again.Body); err != nil || !bytes.Equal(b, after) {
		t.Errorf("the next client got %d bytes, %v", len(b), err)
	}
	if how.ranges != ranges.Load() || wholes.Load() < how.wholes+more {
		t.Errorf("%d requests for a part and %d for the whole", ranges.Load(), wholes.Load())
	}
}

// cut sends half of a file.
func (how resumed) cut(w http.ResponseWriter, file []byte, read chan struct{}) {
	if how.first != "" {
		w.Header().Set("ETag", how.first)
	}
	if !how.chunked {
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
	}
	w.Write(file[:len(file)/2])
	http.NewResponseController(w).Flush()
	<-read
	panic(http.ErrAbortHandler)
}

// answer sends what is asked for of the later file.
func (how resumed) answer(w http.ResponseWriter, ranged bool, file []byte) {
	if how.later != "" {
		w.Header().Set("ETag", how.later)
	}
	half := len(file) / 2
	switch {
	case ranged && how.code != 0:
		w.WriteHeader(how.code)
	case ranged && how.part:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(file)-1, len(file)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(file[half:])
	default:
		w.Write(file)
	}
}

// TestContentResumesAfter416: the digest decides about a file of an index, also
// when the mirror knows no such range.
func TestContentResumesAfter416(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	r.mirror.Inject("*large*", aptest.RefuseRange())
	r.mirror.InjectTimes(1, "*large*", aptest.Truncate(large/2))
	r.want(r.packageAt("large"), r.files["large"].Data)
}

// TestNoMixturePastAFullDisk: when the disk fills in the middle of a file without
// a digest, a client gets its rest only if the mirror still has the same.
func TestNoMixturePastAFullDisk(t *testing.T) {
	t.Parallel()
	for _, changed := range []bool{false, true} {
		r := newRig(t, aptest.Suite{}, noTTL)
		before := bytes.Repeat([]byte("old "), large/4)
		r.mirror.Put("/debian/"+unlisted, before, time.Now().Add(-time.Hour))
		stall := r.mirror.InjectTimes(1, "*unlisted*", aptest.Stall(large/2))
		f, err := r.get(t.Context(), unlisted, digest.Digest{})
		must(t, err)
		defer f.Body.Close()
		must(t, readSome(f.Body, 1000))
		if changed {
			r.mirror.Put("/debian/"+unlisted, bytes.Repeat([]byte("new "), large/4), time.Now())
		}
		r.disk.Full(true)
		stall.Release()
		rest, err := io.ReadAll(f.Body)
		if (err != nil) != changed || !changed && !bytes.Equal(rest, before[1000:]) || !bytes.HasPrefix(before[1000:], rest) {
			t.Errorf("changed %v: %d bytes, %v", changed, len(rest), err)
		}
	}
}

// Where two answers of one mirror make wrong bytes, the whole is requested.
func TestContentOfTwoAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	pkg := r.packageAt("small")
	r.mirror.InjectTimes(1, "/debian/"+pkg, aptest.Truncate(100))
	r.mirror.Inject("/debian/"+pkg, aptest.OnResume(aptest.Corrupt(0, small)))
	r.want(pkg, r.files["small"].Data)
	if n := r.mirror.Requests("/debian/" + pkg); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}
