package catalog

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// bomb is an index of a few kB with n bytes of text.
func bomb(tb testing.TB, n int64) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = io.WriteString(w, onePackage)
	}
	line := []byte("# " + strings.Repeat("x", 60<<10) + "\n")
	for ; n > 0 && err == nil; n -= int64(len(line)) {
		_, err = w.Write(line)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

const oneIndex = "main/binary-amd64/Packages.gz"

// A bomb costs what the limits of an archive that nobody vouches for allow, once
// an hour. Where a key vouches for the same bytes, they are read.
func TestBombIsReadOnce(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	now := day
	c.now = func() time.Time { return now }
	data := bomb(t, unsignedLimits.text)
	const evil = "http://evil.example.org/debian/dists/x"
	files := lists(map[string][]byte{oneIndex: data})
	if _, err := c.learnRelease(at(t, evil), files); err != nil {
		t.Fatal(err)
	}
	first := c.resolveURL(t, evil+"/"+oneIndex)
	if !first.Index || first.Signed {
		t.Fatalf("%+v, want an unsigned index that is wanted", first)
	}
	if err := c.LearnIndex(t.Context(), first, bytes.NewReader(data)); !errors.Is(err, errTooLong) {
		t.Fatalf("got %v, want %v", err, errTooLong)
	}
	again := &counted{r: bytes.NewReader(data)}
	if err := c.LearnIndex(t.Context(), first, again); err == nil || again.n > 0 {
		t.Errorf("the second time %d bytes are read: %v", again.n, err)
	}
	if e := c.resolveURL(t, evil+"/"+oneIndex); e.Index || e.Kind != Content {
		t.Errorf("%+v, want content that is no index to be read", e)
	}
	now = now.Add(retryUnreadable)
	if e := c.resolveURL(t, evil+"/"+oneIndex); !e.Index {
		t.Error("no second try is wanted after an hour")
	}
	now = day.Add(time.Minute)
	if _, err := c.learnRelease(at(t, suiteURL), ReleaseFiles{InRelease: aptest.Clearsign(files.Release, day, key)}); err != nil {
		t.Fatal(err)
	}
	signed := c.resolveURL(t, suiteURL+"/"+oneIndex)
	if !signed.Index {
		t.Error("what cannot be read unsigned is not wanted signed")
	}
	// Whoever asks first, under whatever name: the digest's best list counts.
	if err := c.LearnIndex(t.Context(), first, bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
	c.wantContent(t, archiveURL+"/pool/a.deb", []byte("abc"), true)
}

// An index that only came damaged, or not whole, is read when it comes again. One
// that is listed as something else too is read as what it is.
func TestOnlyTheIndexIsBlamed(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	data := bomb(t, 0)
	damaged := bytes.Clone(data)
	damaged[len(damaged)/2] ^= 1
	if err := c.learnText(t, oneIndex, data, bytes.NewReader(damaged)); err == nil {
		t.Fatal("damaged bytes are learned")
	}
	e := c.resolveURL(t, suiteURL+"/"+oneIndex)
	if !e.Index {
		t.Fatal("after damaged bytes no second try is wanted")
	}
	cut := io.MultiReader(bytes.NewReader(data[:20]), iotest.ErrReader(errors.New("cable cut")))
	if err := c.LearnIndex(t.Context(), e, cut); err == nil || !c.resolveURL(t, suiteURL+"/"+oneIndex).Index {
		t.Fatalf("after a failed read (%v) no second try is wanted", err)
	}
	const evil = "http://evil.example.org/debian/dists/x"
	as := "main.diff/Index"
	if _, err := c.learnRelease(at(t, evil), lists(map[string][]byte{as: data})); err != nil {
		t.Fatal(err)
	}
	_ = c.LearnIndex(t.Context(), c.resolveURL(t, evil+"/"+as), bytes.NewReader(data)) // readable or not
	if !c.resolveURL(t, suiteURL+"/"+oneIndex).Index {
		t.Error("a name of elsewhere makes the index unreadable")
	}
	if err := c.LearnIndex(t.Context(), e, bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
}

// What takes too long ends, even where a decompressor finds nothing to give out.
func TestReadingEndsInTime(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	k := attempt{content{digest.Of([]byte("slow")), kindPackages}, limits{text: 1 << 40, rows: 1, time: time.Millisecond}}
	w, err := c.rows.writer()
	if err != nil {
		t.Fatal(err)
	}
	defer w.cancel()
	var empty bytes.Buffer
	if err := gzip.NewWriter(&empty).Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := withTime(t.Context(), k.limits)
	defer stop()
	in := newInput(ctx, &endless{member: empty.Bytes()}, k.text)
	if err := fill(ctx, w, k.kind, Entry{Digest: k.digest}, in); !errors.Is(err, errTooSlow) {
		t.Errorf("got %v, want %v", err, errTooSlow)
	}
}

// endless are members of a file that unpack to nothing.
type endless struct {
	member []byte
	off    int
}

func (e *endless) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m := copy(b[n:], e.member[e.off:])
		n, e.off = n+m, (e.off+m)%len(e.member)
	}
	return n, nil
}

func TestUnreadableIsBounded(t *testing.T) {
	t.Parallel()
	var u unreadable
	for i := range maxUnreadable + 100 {
		d := digest.Of([]byte{byte(i), byte(i >> 8)})
		u.add(attempt{content{d, kindPackages}, unsignedLimits}, day)
		u.add(attempt{content{d, kindPackages}, unsignedLimits}, day)
	}
	if len(u.since) != maxUnreadable || len(u.order) != maxUnreadable {
		t.Errorf("%d and %d are remembered, want %d", len(u.since), len(u.order), maxUnreadable)
	}
}
