package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// partyNumber is the n-th of the parties in a test.
func partyNumber(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
}

// request is the line of a request for a file.
func request(file string) Request {
	return Request{Time: time.Unix(1e9, 123456789), Client: "10.0.0.1", Method: "GET", URL: "http://deb.example.org/" + file, Status: 200, Outcome: "hit", Source: "store", Bytes: 5}
}

// linesIn decodes the lines of an access log.
func linesIn(t *testing.T, text string) (all []Request, dropped int) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r struct {
			Request
			Dropped int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if dropped += r.Dropped; r.Dropped == 0 {
			all = append(all, r.Request)
		}
	}
	return all, dropped
}

// running is an access log whose Run goes on until the end of a bubble's test.
func running(t *testing.T, o AccessOptions) *Access {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a, err := OpenAccess(o)
	if err != nil {
		t.Fatal(err)
	}
	go a.Run(t.Context())
	return a
}

func TestAccessLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := new(output)
		a := running(t, AccessOptions{Out: out})
		secret := request("pool/a.deb?token=hunter2")
		secret.URL = strings.Replace(secret.URL, "//", "//bob:hunter2@", 1)
		a.Add(request("pool/é\xff\"\n.deb"), partyNumber(1))
		a.Add(secret, partyNumber(1))
		a.Add(request(strings.Repeat("x", 1<<20)), partyNumber(1))
		synctest.Wait()
		got, _ := linesIn(t, out.String())
		if len(got) != 3 || strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), "bob") {
			t.Fatalf("got %s", out)
		}
		want := request("pool/é\ufffd\"\n.deb")
		want.Time = want.Time.UTC().Truncate(time.Microsecond)
		if got[0] != want || len(got[2].URL) > maxURL+10 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAccessWithoutClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := new(output)
		running(t, AccessOptions{Out: out, Anonymous: true}).Add(request("a"), partyNumber(1))
		synctest.Wait()
		if got, _ := linesIn(t, out.String()); len(got) != 1 || got[0].Client != "" || strings.Contains(out.String(), "10.0.0.1") {
			t.Errorf("got %s", out)
		}
	})
}

// stuck is a disk that takes nothing until it is released.
type stuck struct {
	*output
	release chan struct{}
}

func (s stuck) Write(b []byte) (int, error) {
	<-s.release
	return s.output.Write(b)
}

// With a disk that takes nothing, requests do not wait, memory is bounded, whoever sends
// most loses first, and each line that is missing is counted.
func TestAccessBuffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out, logged := stuck{new(output), make(chan struct{})}, new(bytes.Buffer)
		a := running(t, AccessOptions{Out: out, Log: slog.New(slog.NewTextHandler(logged, nil))})
		a.Add(request("first"), partyNumber(0))
		synctest.Wait() // Run hangs in the disk
		const flood = 20_000
		for range flood {
			a.Add(request("flood"), partyNumber(1))
		}
		a.mu.Lock()
		waiting := len(a.lines)
		a.mu.Unlock()
		if waiting > maxUnwritten || waiting < maxUnwritten*9/10 {
			t.Errorf("%d bytes wait, want up to %d: who is alone may have all", waiting, maxUnwritten)
		}
		close(out.release)
		synctest.Wait()
		got, dropped := linesIn(t, out.String())
		if len(got)+dropped != flood+1 || dropped == 0 || !strings.Contains(logged.String(), fmt.Sprintf("lines=%d", dropped)) {
			t.Errorf("%d lines and %d dropped of %d; logged %s", len(got), dropped, flood+1, logged)
		}
	})
}

func TestAccessBufferIsShared(t *testing.T) {
	t.Parallel()
	a, err := OpenAccess(AccessOptions{Out: new(output), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is written: there is no Run.
	for range 3 {
		a.Add(request("a"), partyNumber(1))
	}
	for range 20_000 {
		a.Add(request("flood"), partyNumber(2))
	}
	if a.held[partyNumber(2)] > maxUnwritten/2 {
		t.Errorf("one of two parties has %d of %d", a.held[partyNumber(2)], maxUnwritten)
	}
	before := a.dropped
	for n := range 100 {
		a.Add(request("others"), partyNumber(10+n))
	}
	if a.dropped != before || len(a.lines) > maxUnwritten {
		t.Errorf("%d lines of others dropped beside a flood, %d bytes wait", a.dropped-before, len(a.lines))
	}
	for n := range 100_000 {
		a.Add(request("many"), partyNumber(1000+n))
	}
	if len(a.lines) > maxUnwritten || len(a.held) > maxUnwritten/100 {
		t.Errorf("%d bytes of %d parties wait", len(a.lines), len(a.held))
	}
}

// A file is appended to, opened again after it was renamed, and begun anew when it is
// full.
func TestAccessFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "access.log")
	if err := os.WriteFile(name, []byte("{\"url\":\"before\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := OpenAccess(AccessOptions{File: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		linesIn(t, string(b))
		return string(b)
	}
	a.Add(request("one"), partyNumber(1))
	a.write()
	if err := os.Rename(name, name+".old"); err != nil {
		t.Fatal(err)
	}
	a.Add(request("two"), partyNumber(1))
	a.write()
	if err := a.reopen(); err != nil {
		t.Fatal(err)
	}
	a.Add(request("three"), partyNumber(1))
	a.write()
	old, now := read(name+".old"), read(name)
	if !strings.Contains(old, "before") || !strings.Contains(old, "/two") || strings.Count(now, "\n") != 1 || !strings.Contains(now, "/three") {
		t.Errorf("old %s, new %s", old, now)
	}
	a.most = 1000
	for n := range 100 {
		a.Add(request(fmt.Sprint(n)), partyNumber(1))
		a.write()
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	all := read(name+olderSuffix) + read(name)
	if len(all) > 3000 || !strings.Contains(all, "/99") || len(read(name+olderSuffix)) < 1000 {
		t.Errorf("two files of 1000 bytes have %d:\n%s", len(all), all)
	}
}

// full is a disk that has room for some bytes.
type full struct {
	*output
	room int
}

func (f *full) Write(b []byte) (int, error) {
	if len(b) > f.room {
		n, _ := f.output.Write(b[:f.room])
		f.room = 0
		return n, syscall.ENOSPC
	}
	f.room -= len(b)
	return f.output.Write(b)
}

// A line that a full disk cut off does not spoil the next one.
func TestAccessOnAFullDisk(t *testing.T) {
	t.Parallel()
	out, logged := &full{new(output), 250}, new(bytes.Buffer)
	a, err := OpenAccess(AccessOptions{Out: out, Log: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	a.Add(request("one"), partyNumber(1))
	a.Add(request("two"), partyNumber(1))
	a.write()
	out.room = 1000
	a.Add(request("three"), partyNumber(1))
	a.write()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 3 || json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[2])) {
		t.Errorf("got %q", lines)
	}
	if !strings.Contains(logged.String(), "lost=1") || !strings.Contains(logged.String(), "no space left") {
		t.Errorf("logged %s", logged)
	}
	logged.Reset()
	out.room = 0
	for range 100 {
		a.Add(request("four"), partyNumber(1))
		a.write()
	}
	out.room = 1000
	a.Add(request("five"), partyNumber(1))
	a.write()
	if n := strings.Count(logged.String(), "\n"); n != 2 || !strings.Contains(logged.String(), "lost=100") {
		t.Errorf("%d lines of the log for 100 writes that failed: %s", n, logged)
	}
}

func TestAccessFileThatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, filepath.Join(dir, "none", "access.log"), "/dev/null", pipe} {
		if _, err := OpenAccess(AccessOptions{File: name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenAccess(AccessOptions{File: "/dev/null"}); errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func BenchmarkAccess(b *testing.B) {
	a, err := OpenAccess(AccessOptions{File: filepath.Join(b.TempDir(), "log"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	go a.Run(b.Context())
	r := request("debian/pool/main/h/hello/hello_2.10-3_amd64.deb")
	for b.Loop() {
		a.Add(r, partyNumber(1))
	}
}
