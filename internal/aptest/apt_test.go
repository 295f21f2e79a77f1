package aptest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample fills the archive with one package in each form.
func sample(a *Archive, suite string) File {
	a.Add(Package{Suite: suite, Name: "libgreet1", Version: "2:1.2-1", Arch: "amd64", Source: "libgreet", Size: 5000, Compression: "gz"})
	a.Add(Package{Suite: suite, Name: "greet-data", Version: "1.2-1", Source: "libgreet", Compression: "zst",
		Description: "data\nA long description\n.\nof two paragraphs.", Files: map[string][]byte{"usr/share/greet/text": []byte("hello\n")}})
	a.Add(Package{Suite: suite, Name: "big", Version: "1.0", Size: 1 << 20})
	return a.Add(Package{Suite: suite, Name: "hello", Version: "2.10-3+b1", Arch: "amd64", Depends: "libgreet1 (>= 2:1.0), greet-data", Size: 100})
}

func publish(t *testing.T, a *Archive) *Mirror {
	t.Helper()
	m := NewMirror(t, MirrorOptions{})
	m.Publish("/debian", a.Publish(time.Now()))
	return m
}

func apt(t *testing.T, c *Client, args ...string) string {
	t.Helper()
	out, err := c.Apt(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "W: ") {
		t.Errorf("apt-get %s warns:\n%s", strings.Join(args, " "), out)
	}
	return out
}

func wantRequests(t *testing.T, m *Mirror, pattern string, want bool) {
	t.Helper()
	if got := m.Requests(pattern) > 0; got != want {
		t.Errorf("apt asked for %s: %v, want %v; log:\n%s", pattern, got, want, paths(m))
	}
}

func paths(m *Mirror) string {
	var b strings.Builder
	for _, r := range m.Log() {
		b.WriteString(r.Method + " " + r.Path + "\n")
	}
	return b.String()
}

func TestRealAptUpdateAndInstall(t *testing.T) {
	t.Parallel()
	key := NewKey("archive")
	tests := []struct {
		name   string
		suite  Suite
		source string // suite and components of sources.list
		asked  string
		spared string
	}{
		{"default", Suite{}, "stable main", "*/by-hash/SHA256/*", "*/Packages*"},
		{"codename", Suite{}, "stable-codename main", "/debian/dists/stable-codename/InRelease", "*/Packages*"},
		{"without by-hash", Suite{NoByHash: true}, "stable main", "*/Packages.xz", "*/by-hash/*"},
		{"Release.gpg", Suite{NoInRelease: true}, "stable main", "*/Release.gpg", "nothing"},
		{"xz only", Suite{NoByHash: true, Compressions: []string{"xz"}}, "stable main", "*/Packages.xz", "*/Packages"},
		{"gz only", Suite{NoByHash: true, Compressions: []string{"gz"}}, "stable main", "*/Packages.gz", "*/Packages"},
		{"bz2 only", Suite{NoByHash: true, Compressions: []string{"bz2"}}, "stable main", "*/Packages.bz2", "*/Packages"},
		{"plain only", Suite{NoByHash: true, Compressions: []string{""}}, "stable main", "*/Packages", "*/Packages.*"},
		{"slash in the name", Suite{Name: "stable/updates", ValidFor: time.Hour}, "stable/updates main", "*/stable/updates/InRelease", "nothing"},
		{"second component", Suite{Components: []string{"contrib", "main"}}, "stable main contrib", "*/contrib/*", "nothing"},
		{"flat", Suite{Flat: true}, "./", "/debian/Packages.gz", "*/dists/*"},
		{"flat in a directory", Suite{Flat: true, Name: "lab"}, "lab/", "/debian/lab/Packages.gz", "*/dists/*"},
		{"flat beside its packages", Suite{Flat: true, Name: "lab/stable", Pool: "files"}, "lab/stable/", "/debian/lab/stable/Packages.gz", "/debian/files/*"},
		{"by-hash alone, of SHA512", Suite{Hashes: []string{"SHA256", "SHA512"}, ByHash: []string{"SHA512"}, ByHashOnly: true}, "stable main", "*/by-hash/SHA512/*", "*/Packages*"},
		{"SHA512 alone", Suite{Hashes: []string{"SHA512"}}, "stable main", "*/Packages.xz", "*/by-hash/*"},
		{"file names with a slash before them", Suite{Filename: func(p string) string { return "/" + p }}, "stable main", "*/InRelease", "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := NewArchive(key, tt.suite)
			deb := sample(a, "")
			m := publish(t, a)
			c := NewClient(t)
			c.Trust(key)
			c.Sources(m.Source("/debian", tt.source))
			apt(t, c, "update")
			wantRequests(t, m, tt.asked, true)
			wantRequests(t, m, tt.spared, false)
			apt(t, c, "install", "--download-only", "hello")
			got, err := c.Downloaded("hello_2.10-3+b1_amd64.deb")
			if err != nil || !bytes.Equal(got, deb.Data) {
				t.Errorf("downloaded %d bytes, %v; want the %d of the archive", len(got), err, len(deb.Data))
			}
			if n := m.Requests("*.deb"); n != 3 {
				t.Errorf("%d packages asked for, want hello and two dependencies", n)
			}
		})
	}
}

func TestRealAptInstalls(t *testing.T) {
	if testing.Short() {
		t.Skip("runs apt")
	}
	t.Parallel()
	a := NewArchive(NewKey("archive"))
	sample(a, "")
	m := publish(t, a)
	c := NewClient(t)
	c.Trust(NewKey("archive"))
	c.Sources(m.Source("/debian", "stable", "main"))
	apt(t, c, "update")
	apt(t, c, "install", "hello", "big")
	for name, size := range map[string]int64{"usr/share/greet/text": 6, "usr/share/big/data": 1 << 20, "usr/share/hello/data": 100} {
		if info, err := os.Stat(filepath.Join(c.Root, name)); err != nil || info.Size() != size {
			t.Errorf("installed %s: %v, %v; want %d bytes", name, info, err, size)
		}
	}
	show, err := c.Run(t.Context(), "apt-cache", "show", "greet-data")
	if err != nil || !strings.Contains(show, "of two paragraphs") {
		t.Errorf("apt-cache show without the Translation's text: %v\n%s", err, show)
	}
}

func TestRealAptSource(t *testing.T) {
	if testing.Short() {
		t.Skip("runs apt")
	}
	t.Parallel()
	for _, suite := range []Suite{{}, {Flat: true}} {
		key := NewKey("archive")
		a := NewArchive(key, suite)
		a.AddSource(Source{Name: "hello", Version: "1:2.10-3", Files: map[string][]byte{"src/hello.c": []byte("int x;\n")}, SignedBy: key})
		a.AddSource(Source{Name: "libgreet", Version: "1.2-1"})
		m := publish(t, a)
		c := NewClient(t)
		c.Trust(key)
		line := "deb-src " + m.URL("/debian") + " stable main"
		if suite.Flat {
			line = "deb-src " + m.URL("/debian") + " ./"
		}
		c.Sources(line)
		apt(t, c, "update")
		apt(t, c, "source", "--download-only", "libgreet")
		apt(t, c, "source", "hello", "libgreet")
		for _, name := range []string{"hello-2.10/src/hello.c", "hello-2.10/debian/changelog", "libgreet-1.2/README"} {
			if _, err := os.Stat(filepath.Join(c.Work, name)); err != nil {
				t.Errorf("flat %v: apt-get source: %v", suite.Flat, err)
			}
		}
	}
}

func TestRealAptAppliesPDiffs(t *testing.T) {
	t.Parallel()
	for _, noByHash := range []bool{false, true} {
		key := NewKey("archive")
		a := NewArchive(key, Suite{NoByHash: noByHash})
		sample(a, "")
		m := publish(t, a)
		c := NewClient(t)
		c.Trust(key)
		c.Sources(m.Source("/debian", "stable", "main"))
		// By default apt prefers a whole index to patches that are not much smaller.
		c.Set("Acquire::PDiffs::SizeLimit", "0")
		apt(t, c, "update")

		// Two generations later: all kinds of change, at both ends and between.
		a.Remove("big")
		a.Add(Package{Name: "aaa", Version: "1"})
		a.Add(Package{Name: "hello", Version: "2.10-3+b1", Arch: "amd64", Depends: "greet-data", Size: 120})
		a.Publish(time.Now())
		a.Add(Package{Name: "zzz", Version: "1"})
		a.Add(Package{Name: "greet-data", Version: "1.3-1", Source: "libgreet"})
		g := a.Publish(time.Now())
		m.Publish("/debian", g)
		m.ResetLog()
		c.Set("Debug::pkgAcquire::Diffs", "true")
		out := apt(t, c, "update")
		wantRequests(t, m, "*/Packages.diff/*", true)
		lists, err := filepath.Glob(filepath.Join(c.Root, "var/lib/apt/lists/*_binary-amd64_Packages"))
		if err != nil || len(lists) != 1 {
			t.Fatalf("lists %q, %v; want one Packages file\n%s", lists, err, out)
		}
		got, err := os.ReadFile(lists[0])
		if want := g.File("dists/stable/main/binary-amd64/Packages"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("patched Packages is\n%s\n%v; want\n%s", got, err, want)
		}
		for _, r := range m.Log() {
			if strings.Contains(r.Path, "/binary-amd64/by-hash/") || strings.Contains(r.Path, "/Packages.zst") {
				t.Errorf("apt fetched the whole index %s beside the patches\n%s", r.Path, out)
			}
		}
	}
}

func TestRealAptRefuses(t *testing.T) {
	t.Parallel()
	key := NewKey("archive")
	tests := []struct {
		name  string
		key   *Key
		suite Suite
		fault Fault
		says  string
	}{
		{"unknown key", NewKey("stranger"), Suite{}, nil, "NO_PUBKEY"},
		{"expired key", NewExpiredKey("expired"), Suite{}, nil, "EXPKEYSIG"},
		{"unsigned", nil, Suite{}, nil, "is not signed"},
		{"no Release", nil, Suite{NoRelease: true}, nil, "does not have a Release file"},
		{"Release without hashes", key, Suite{EditRelease: func(r string) string { return strings.ReplaceAll(r, "SHA256:", "X-SHA256:") }}, nil, "strong enough"},
		{"weak hashes", key, Suite{Hashes: []string{"MD5Sum", "SHA1"}}, nil, "strong enough"},
		{"expired", key, Suite{ValidFor: -time.Hour}, nil, "expired"},
		{"index corrupt", key, Suite{}, Corrupt(30, 5), "Hash Sum mismatch"},
		{"index longer", key, Suite{}, Longer(3), "unexpected size"},
		{"index cut", key, Suite{}, Truncate(50), "Failed to fetch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := NewArchive(tt.key, tt.suite)
			sample(a, "")
			m := publish(t, a)
			if tt.fault != nil {
				m.Inject("*/main/*", tt.fault)
			}
			c := NewClient(t)
			c.Trust(key)
			c.Trust(NewExpiredKey("expired"))
			c.Sources(m.Source("/debian", "stable", "main"))
			out, err := c.Apt(t.Context(), "-o", "APT::Update::Error-Mode=any", "update")
			if err == nil || !strings.Contains(out, tt.says) {
				t.Errorf("apt-get update: %v, want a refusal with %q:\n%s", err, tt.says, out)
			}
		})
	}
}

func TestRealAptHTTPSAndProxy(t *testing.T) {
	t.Parallel()
	key := NewKey("archive")
	a := NewArchive(key)
	sample(a, "")
	m := NewMirror(t, MirrorOptions{TLS: true})
	m.Publish("/debian", a.Publish(time.Now()))
	c := NewClient(t)
	c.Trust(key)
	c.TrustCA(m.CertPEM())
	c.Sources(m.Source("/debian", "stable", "main"))
	apt(t, c, "update")

	// A mirror takes absolute URLs also, and so can stand in for a proxy.
	plain := publish(t, a)
	c.Proxy(plain.URL("/"))
	c.Sources("deb http://deb.example.org/debian stable main")
	apt(t, c, "update")
	if log := plain.Log(); len(log) == 0 || log[0].Host != "deb.example.org" {
		t.Errorf("requests by way of the proxy: %+v", log)
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	t.Parallel()
	m := publish(t, NewArchive(NewKey("archive")))
	held := m.Inject("*", Hold())
	c := NewClient(t)
	c.Sources(m.Source("/debian", "stable", "main"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Apt(ctx, "update")
		done <- err
	}()
	if err := held.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("apt-get ended well although it was stopped")
	}
}
