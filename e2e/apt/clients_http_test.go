package apt

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// httpSize is that of the files below: more than a client gets before the digest
// is known to match.
const httpSize = 400 << 10

// curls are what people do with curl, by its arguments.
var curls = []struct {
	name  string
	args  []string
	left  int  // halves of the file from an earlier download
	whole bool // the box may send all of a file that it does not hold
	// ignored ranges get the whole file (RFC 9110, section 14.2): the mirror, of
	// Go's net/http, refuses them.
	ignored bool
}{
	{name: "whole"},
	{name: "range of all", args: []string{"-r", "0-"}},
	{name: "range of one byte", args: []string{"-r", "0-0"}},
	{name: "range", args: []string{"-r", "1000-1999"}},
	{name: "range to the end", args: []string{"-r", "300000-"}},
	{name: "suffix", args: []string{"-r", "-500"}},
	{name: "suffix longer than the file", args: []string{"-r", "-99999999"}},
	{name: "several ranges", args: []string{"-r", "0-99,300000-300099"}, whole: true},
	{name: "suffix of nothing", args: []string{"-r", "-0"}, ignored: true},
	{name: "range beyond the end", args: []string{"-r", "99999999-"}},
	{name: "range backwards", args: []string{"-H", "Range: bytes=500-100"}, ignored: true},
	{name: "range of another unit", args: []string{"-H", "Range: lines=1-2"}, ignored: true},
	{name: "range of another version", args: []string{"-r", "0-99", "-H", `If-Range: "another"`}},
	{name: "resume", args: []string{"-C", "-"}, left: 1},
	{name: "resume what is complete", args: []string{"-C", "-"}, left: 2},
	{name: "since its date", args: []string{"-z", "DATE"}},
	{name: "since an earlier date", args: []string{"-z", "Mon, 01 Jan 2001 00:00:00 GMT"}},
	{name: "another version's tag", args: []string{"-H", `If-None-Match: "another"`}},
	{name: "any tag", args: []string{"-H", "If-None-Match: *"}},
	{name: "head", args: []string{"--head"}},
	{name: "HTTP 1.0", args: []string{"--http1.0"}},
	{name: "compressed", args: []string{"--compressed"}},
}

// httpSite has a package and a file that no index lists for each of them, under
// the names of file.
func httpSite(t *testing.T) *site {
	t.Helper()
	s := &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key)
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	date := time.Now().Add(-time.Hour)
	for i := range curls {
		deb := s.archive.Add(aptest.Package{Name: fmt.Sprintf("pkg%02d", i), Version: "1", Size: httpSize})
		s.mirror.Put(fmt.Sprintf("/debian/dists/stable/unlisted%02d", i), bytes.ToUpper(deb.Data), date)
	}
	s.mirror.Publish("/debian", s.archive.Publish(date))
	s.box = box.Start(t, s.settings(t)...)
	c := s.clientBy(t, s.by("proxy"))
	c.Sources("deb " + s.by("proxy").uri + " stable main")
	c.MustApt("update")
	return s
}

func TestCurl(t *testing.T) {
	t.Parallel()
	s := httpSite(t)
	for kind, name := range map[string]string{
		"package": "/pool/main/p/pkg%02[1]d/pkg%02[1]d_1_all.deb",
		"unknown": "/dists/stable/unlisted%02d",
	} {
		for i, c := range curls {
			t.Run(kind+"/"+c.name, func(t *testing.T) {
				name := fmt.Sprintf(name, i)
				s.mirror.ResetLog()
				plain := c.args // what the mirror is asked direct
				if c.ignored {
					plain = nil
				}
				want := s.curl(t, "direct", name, plain, c.left)
				got := s.curl(t, "proxy", name, c.args, c.left)
				if sent := s.sentToBox(); c.name == "head" && sent > 1 {
					t.Errorf("the mirror sent %d bytes for a HEAD", sent)
				}
				if c.whole && got.status == http.StatusOK {
					want = s.curl(t, "direct", name, nil, 0)
				}
				got.differs(t, "not held", want)
				s.curl(t, "path", name, nil, 0)
				want = s.curl(t, "direct", name, plain, c.left)
				for _, form := range []string{"proxy", "path"} {
					s.curl(t, form, name, c.args, c.left).differs(t, "held, "+form, want)
				}
				// One byte more where the box was asked about the file first.
				if sent, size := s.sentToBox(), int64(len(s.curl(t, "direct", name, nil, 0).body)); sent > size+1 {
					t.Errorf("the mirror sent %d bytes of a file of %d", sent, size)
				}
			})
		}
	}
	t.Run("its own tag", func(t *testing.T) {
		const name = "/dists/stable/InRelease"
		tag := filepath.Join(t.TempDir(), "tag")
		if got := s.curl(t, "proxy", name, []string{"--etag-save", tag}, 0); got.status != http.StatusOK {
			t.Fatalf("%+v", got)
		}
		if got := s.curl(t, "path", name, []string{"--etag-compare", tag}, 0); got.status != http.StatusNotModified {
			t.Errorf("%+v, want 304", got)
		}
	})
}

// sentToBox are the body bytes that the mirror sent to the box since the log
// was reset.
func (s *site) sentToBox() int64 {
	var n int64
	for _, r := range s.mirror.Log() {
		if strings.HasPrefix(r.UserAgent, "millpond") {
			n += r.Sent
		}
	}
	return n
}

// TestSegments fetches a file that is not held in segments at once, as download
// accelerators do. The mirror sends it once.
func TestSegments(t *testing.T) {
	t.Parallel()
	const size, segments = 6 << 20, 4
	s := &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key)
	deb := s.archive.Add(aptest.Package{Name: "big", Version: "1", Size: size})
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now()))
	s.box = box.Start(t, s.settings(t)...)
	c := s.clientBy(t, s.by("proxy"))
	c.Sources("deb " + s.by("proxy").uri + " stable main")
	c.MustApt("update")
	s.mirror.ResetLog()
	s.mirror.Inject("*.deb", aptest.Slow(16<<20)) // so that they meet
	var got [segments]curled
	var done sync.WaitGroup
	for i := range got {
		first := i * len(deb.Data) / segments
		last := (i+1)*len(deb.Data)/segments - 1
		done.Go(func() {
			got[i] = s.curl(t, "proxy", "/"+deb.Path, []string{"-r", fmt.Sprintf("%d-%d", first, last)}, 0)
		})
	}
	done.Wait()
	var whole string
	for _, segment := range got {
		whole += segment.body
	}
	if whole != string(deb.Data) {
		t.Errorf("the segments are %d bytes, want others, %d", len(whole), len(deb.Data))
	}
	if sent := s.sentToBox(); sent != int64(len(deb.Data)) {
		t.Errorf("the mirror sent %d bytes of a file of %d", sent, len(deb.Data))
	}
}

// curled is what curl got.
type curled struct {
	exit, status int
	head         bool   // it asked for no more
	header       string // the fields that say what was sent
	body         string // parts of several ranges one after the other
}

func (s *site) curl(t *testing.T, form, name string, args []string, left int) curled {
	t.Helper()
	w := s.by(form)
	dir := t.TempDir()
	out, head := filepath.Join(dir, "out"), filepath.Join(dir, "head")
	if left > 0 {
		whole := s.curl(t, "direct", name, nil, 0)
		writeFile(t, out, whole.body[:len(whole.body)*left/2])
	}
	for i, arg := range args {
		if arg == "DATE" {
			args = append([]string{}, args...)
			args[i] = s.date(t, name)
		}
	}
	cmd := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-o", out, "-D", head, w.uri + name}, args...)...)
	cmd.Env = w.environment()
	err := cmd.Run()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	got := curled{exit: cmd.ProcessState.ExitCode(), head: slices.Contains(args, "--head")}
	body, err := os.ReadFile(out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	got.read(t, head, body)
	return got
}

// date is the Last-Modified of a file.
func (s *site) date(t *testing.T, name string) string {
	t.Helper()
	resp, err := http.Head(s.by("direct").uri + name)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("Last-Modified")
}

// read takes an answer apart.
func (c *curled) read(t *testing.T, head string, body []byte) {
	t.Helper()
	text, err := os.ReadFile(head)
	if err != nil {
		t.Fatal(err)
	}
	var kind string
	for _, line := range slices.Sorted(strings.Lines(string(text))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch strings.ToLower(name) {
		case "content-length":
			if c.head {
				c.header += line
			}
		case "content-range", "last-modified":
			c.header += line
		case "content-type":
			kind = strings.TrimSpace(value)
		}
		_, _ = fmt.Sscanf(line, "HTTP/1.1 %d", &c.status)
		_, _ = fmt.Sscanf(line, "HTTP/1.0 %d", &c.status)
	}
	c.body = string(body)
	kind, params, err := mime.ParseMediaType(kind)
	switch {
	case c.status >= 400, c.head:
		c.body = "" // it explains, and is the header once more
	case c.status == http.StatusNotModified:
		c.header = "" // a date is allowed, and not needed
	case err != nil || kind != "multipart/byteranges":
		return
	default:
		c.body = ""
		parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(part)
			if err != nil {
				t.Fatal(err)
			}
			c.body += part.Header.Get("Content-Range") + "\n" + string(data) + "\n"
		}
	}
}

func (c curled) differs(t *testing.T, when string, want curled) {
	t.Helper()
	if c.exit != want.exit || c.status != want.status || c.header != want.header {
		t.Errorf("%s: curl ends with %d, status %d, %q; without the box %d, %d, %q", when, c.exit, c.status, c.header, want.exit, want.status, want.header)
	}
	if c.body != want.body {
		t.Errorf("%s: %d bytes differ from the %d without the box", when, len(c.body), len(want.body))
	}
}
