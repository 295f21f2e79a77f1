package apt

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// oldSite has files of each kind by name, one of them of a size that the mirror
// does not tell.
func oldSite(t *testing.T) (s *site, names map[string][]byte) {
	t.Helper()
	s = &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key)
	deb := s.archive.Add(aptest.Package{Name: "tool++", Version: "1:1.0~rc1+b1", Size: 500 << 10})
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	g := s.archive.Publish(time.Now())
	s.mirror.Publish("/debian", g)
	s.mirror.Put("/debian/dists/stable/unlisted", deb.Data[1:], time.Now())
	s.mirror.Put("/debian/dists/stable/unsized", deb.Data[2:], time.Now())
	s.mirror.Inject("*/unsized", aptest.NoContentLength())
	s.box = box.Start(t, s.settings(t)...)
	return s, map[string][]byte{
		"/dists/stable/InRelease":                   g.File("dists/stable/InRelease"),
		"/dists/stable/main/binary-all/Packages.gz": g.File("dists/stable/main/binary-all/Packages.gz"),
		"/" + deb.Path:                              deb.Data,
		"/dists/stable/unlisted":                    deb.Data[1:],
		"/dists/stable/unsized":                     deb.Data[2:],
		"/dists/stable/not-there":                   nil,
	}
}

// TestHTTP10 is a client that knows no Host field, no chunks, and no connection
// that outlives the answer unless it asks for it.
func TestHTTP10(t *testing.T) {
	t.Parallel()
	s, names := oldSite(t)
	addr := s.box.URL[len("http://"):]
	for _, turn := range []string{"first", "second"} {
		for name, want := range names {
			escaped := (&url.URL{Path: name}).EscapedPath()
			for form, target := range map[string]string{"proxy": s.by("proxy").uri + escaped, "path": "/" + s.mirror.Addr() + "/debian" + escaped} {
				for _, method := range []string{"GET", "HEAD"} {
					t.Run(fmt.Sprintf("%s %s, %s, %s time", method, name, form, turn), func(t *testing.T) {
						askOnce(t, addr, method, target, want)
					})
				}
			}
		}
	}
}

// askOnce sends one request and reads up to the end of the connection.
func askOnce(t *testing.T, addr, method, target string, want []byte) {
	conn := dial(t, addr)
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.0\r\n\r\n", method, target); err != nil {
		t.Fatal(err)
	}
	all := bufio.NewReader(conn)
	resp, err := http.ReadResponse(all, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.TransferEncoding != nil {
		t.Errorf("the answer is in transfer encoding %q", resp.TransferEncoding)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(all); err != nil || len(rest) > 0 {
		t.Errorf("after the answer: %d bytes, %v; want the end of the connection", len(rest), err)
	}
	switch {
	case want == nil:
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("status %s, want 404", resp.Status)
		}
	case resp.StatusCode != http.StatusOK:
		t.Errorf("status %s: %s", resp.Status, body)
	case method == "GET" && !bytes.Equal(body, want):
		t.Errorf("got %d bytes, want other %d", len(body), len(want))
	case method == "HEAD" && len(body) > 0:
		t.Errorf("HEAD got %d bytes", len(body))
	}
}

// TestHTTP10KeepAlive asks for two files over one connection, as wget of old did.
func TestHTTP10KeepAlive(t *testing.T) {
	t.Parallel()
	s, names := oldSite(t)
	conn := dial(t, s.box.URL[len("http://"):])
	all := bufio.NewReader(conn)
	for _, name := range []string{"/dists/stable/InRelease", "/dists/stable/main/binary-all/Packages.gz", "/dists/stable/InRelease"} {
		if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", s.by("proxy").uri, name); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(all, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(body, names[name]) || resp.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("%s: %d bytes, %v, header %v", name, len(body), err, resp.Header)
		}
	}
}

// dial opens a connection that a stuck answer does not keep for ever.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestDownloaders runs programs that scripts fetch single files with.
func TestDownloaders(t *testing.T) {
	t.Parallel()
	s, names := oldSite(t)
	for name, command := range map[string][]string{
		"wget without keep-alive": {"wget", "-q", "--no-http-keep-alive", "-O", "out"},
		"wget with time stamps":   {"wget", "-q", "-N"},
		"wget past caches":        {"wget", "-q", "--no-cache", "-O", "out"},
		"wget resuming":           {"wget", "-q", "-c", "-O", "out"},
		"busybox":                 {"busybox", "wget", "-q", "-O", "out"},
		"apt-helper":              {"/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=0", "download-file"},
		"python's urllib":         {"/usr/bin/python3", "-c", "import sys, urllib.request; open('out', 'wb').write(urllib.request.urlopen(sys.argv[1]).read())"},
		"curl of HTTP 1.0":        {"curl", "-sS", "--fail", "--http1.0", "-o", "out"},
		"perl's LWP":              {"lwp-download"},
	} {
		t.Run(name, func(t *testing.T) {
			need(t, command[0])
			for _, form := range []string{"proxy", "path"} {
				for file, want := range names {
					if want == nil {
						continue
					}
					w := s.by(form)
					dir := t.TempDir()
					args := append(append([]string{}, command[1:]...), w.uri+(&url.URL{Path: file}).EscapedPath())
					out := "out"
					switch name {
					case "wget with time stamps":
						out = filepath.Base(file)
						runIn(t, dir, w, command[0], args...) // and once more, below
					case "wget resuming":
						writeFile(t, filepath.Join(dir, out), string(want[:len(want)/2]))
					case "apt-helper":
						args = append(args, filepath.Join(dir, "out"))
					case "perl's LWP":
						args = append(args, "out")
					}
					runIn(t, dir, w, command[0], args...)
					if got, err := os.ReadFile(filepath.Join(dir, out)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s, %s: %d bytes, %v, want %d", file, form, len(got), err, len(want))
					}
				}
			}
			onlyTheBox(t, s)
		})
	}
}
