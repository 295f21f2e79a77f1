package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/fetch"
	"millpond/internal/front"
)

// hitBox is a box of real parts, without a log, that holds packages of the given sizes,
// and their paths in the form of a rewritten sources.list.
func hitBox(b *testing.B, repeats int, sizes map[string]int) (*box, map[string]string) {
	b.Helper()
	key := aptest.NewKey("archive")
	archive := aptest.NewArchive(key)
	files := make(map[string]string)
	for name, size := range sizes {
		files[name] = archive.Add(aptest.Package{Name: name, Version: "1.0-1", Size: size}).Path
	}
	upstream := aptest.NewMirror(b, aptest.MirrorOptions{})
	upstream.Publish("/debian", archive.Publish(time.Now()))
	keys := b.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), key.Public(), 0o600); err != nil {
		b.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	parts := boxtest.New(b, boxtest.Options{Keys: keys, Log: quiet})
	f := fetch.New(fetch.Options{
		Store: parts.Store, Catalog: parts.Catalog, Mirror: parts.Mirror, Names: parts.DB.Table("names"), TTL: time.Hour, Log: quiet,
	})
	b.Cleanup(func() { f.Close() })
	p := newBox(func(o *Options) {
		o.Catalog, o.Fetcher, o.Ledger, o.Log, o.Repeats = parts.Catalog, f, parts.Ledger, quiet, repeats
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p.addr = l.Addr().String()
	p.serveOn(b, front.Listener(l, front.Options{Shares: front.NewShares(1000), Log: quiet}))
	base := "/" + upstream.Addr() + "/debian/"
	for name, path := range files {
		files[name] = base + path
	}
	for _, path := range []string{base + "dists/stable/InRelease", base + "dists/stable/main/binary-amd64/Packages.gz"} {
		resp, err := http.Get("http://" + p.addr + path)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(path, resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return p, files
}

// BenchmarkHit gets a held file over and over on one connection, and BenchmarkWalk does so
// from a box that repeats no answer.
func BenchmarkHit(b *testing.B) { benchmarkHit(b, 100) }

func BenchmarkWalk(b *testing.B) { benchmarkHit(b, 0) }

// BenchmarkUnchanged has a client told over and over that its InRelease is the present one.
func BenchmarkUnchanged(b *testing.B) {
	for name, repeats := range map[string]int{"repeat": 100, "walk": 0} {
		b.Run(name, func(b *testing.B) {
			box, files := hitBox(b, repeats, map[string]int{"tiny": 2200})
			base, _, _ := strings.Cut(files["tiny"], "pool/")
			resp, err := http.Head("http://" + box.addr + base + "dists/stable/InRelease")
			if err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
			conn := box.dial(b)
			_ = conn.SetDeadline(time.Time{})
			request := fmt.Appendf(nil, "GET %sdists/stable/InRelease HTTP/1.1\r\nHost: %s\r\nCache-Control: max-age=0\r\nIf-Modified-Since: %s\r\n\r\n", base, box.addr, resp.Header.Get("Last-Modified"))
			in := bufio.NewReader(conn)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if n := skipAnswer(b, in); n != 0 {
					b.Fatal(n)
				}
			}
		})
	}
}

func benchmarkHit(b *testing.B, repeats int) {
	box, files := hitBox(b, repeats, map[string]int{"tiny": 2200, "small": 50 << 10, "large": 1 << 20})
	for _, name := range []string{"tiny", "small", "large"} {
		b.Run(name, func(b *testing.B) {
			conn := box.dial(b)
			_ = conn.SetDeadline(time.Time{})
			request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Debian APT-HTTP/1.3\r\n\r\n", files[name], box.addr)
			in := bufio.NewReaderSize(conn, 64<<10)
			get := func() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if n := skipAnswer(b, in); n < 2000 {
					b.Fatal(n)
				}
			}
			get()
			get() // the client comes back for it, and it is hashed
			b.ReportAllocs()
			for b.Loop() {
				get()
			}
		})
	}
}

// skipAnswer reads an answer without keeping it, and returns the size of its body.
func skipAnswer(b *testing.B, in *bufio.Reader) (size int) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, c := range bytes.TrimRight(value, "\r\n") {
				size = 10*size + int(c-'0')
			}
		}
	}
	if _, err := in.Discard(size); err != nil {
		b.Fatal(err)
	}
	return size
}
