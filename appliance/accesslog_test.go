package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/logs"
)

// accessLines reads an access log.
func accessLines(t *testing.T, file string) (all []logs.Request) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var r logs.Request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, r)
	}
	return all
}

// awaitLines waits until an access log has n lines.
func awaitLines(t *testing.T, file string, n int) []logs.Request {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got := accessLines(t, file)
		if len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d lines, want %d: %+v", len(got), n, got)
		}
		time.Sleep(5 * time.Millisecond) // polling a file
	}
}

// answered is what a client was sent, as it counts itself.
type answered struct {
	URL    string
	Status int
	Bytes  int64
}

// aptAnswer finds an answer in what apt prints with Debug::Acquire::http.
var aptAnswer = regexp.MustCompile(`(?m)^Answer for: (\S+)\nHTTP/1\.1 (\d+) [^\n]*\n((?:[^\n]+\n)*)`)

// answersIn lists the answers that apt got.
func answersIn(out string) (all []answered) {
	for _, m := range aptAnswer.FindAllStringSubmatch(strings.ReplaceAll(out, "\r", ""), -1) {
		a := answered{URL: m[1]}
		a.Status, _ = strconv.Atoi(m[2])
		for line := range strings.Lines(m[3]) {
			if name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); strings.EqualFold(name, "Content-Length") {
				a.Bytes, _ = strconv.ParseInt(value, 10, 64)
			}
		}
		all = append(all, a)
	}
	return all
}

// Each request of the real apt is in the access log once, with the status and as many
// bytes as apt itself says that it got.
func TestAccessLogOfApt(t *testing.T) {
	if testing.Short() {
		t.Skip("runs apt")
	}
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 100_000, 3_000_000)
	file := filepath.Join(t.TempDir(), "access.log")
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ACCESS_LOG="+file))
	c := aptest.NewClient(t)
	c.Trust(s.Key)
	c.Sources("deb " + s.Mirror.URL("/debian") + " stable main")
	c.Set("Acquire::http::Proxy", b.url)
	c.Set("Debug::Acquire::http", "true")
	var want []answered
	for _, args := range [][]string{{"update"}, {"update"}, {"install", "--download-only", "package0", "package1"}} {
		want = append(want, answersIn(c.MustApt(args...))...)
	}
	c.Clean()
	want = append(want, answersIn(c.MustApt("update"))...)
	out, err := c.Apt(t.Context(), "install", "--download-only", "package0", "package1")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, answersIn(out)...)
	got := awaitLines(t, file, len(want))
	var logged []answered
	hits, unchanged := 0, 0
	for _, r := range got {
		logged = append(logged, answered{r.URL, r.Status, r.Bytes})
		if r.Client != "127.0.0.1" || r.Method != "GET" || r.Duration < r.FirstByte || (r.Source == "") != (r.Bytes == 0 || r.Status >= 400) {
			t.Errorf("line %+v", r)
		}
		if r.Outcome == "hit" && r.Status == 200 {
			hits++
		}
		if r.Status == 304 {
			unchanged++
		}
	}
	order := func(a, b answered) int {
		return cmp.Or(strings.Compare(a.URL, b.URL), a.Status-b.Status, int(a.Bytes-b.Bytes))
	}
	slices.SortFunc(want, order)
	slices.SortFunc(logged, order)
	if !slices.Equal(logged, want) {
		t.Errorf("logged\n%+v\napt got\n%+v", logged, want)
	}
	if len(want) < 8 || hits < 4 || unchanged == 0 {
		t.Errorf("%d answers, %d of them from the store, %d unchanged; output of apt:\n%s", len(want), hits, unchanged, out)
	}
}

// The setting about clients holds for the access log, and logins and queries are hidden.
func TestAccessLogPrivacy(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	for privacy, want := range map[string]string{"": "127.0.0.1", "no-client-names": "127.0.0.1", "no-packages-per-client": "", "no-clients": ""} {
		file := filepath.Join(t.TempDir(), "access.log")
		b := start(t, s.environ(t.TempDir(), "MILLPOND_ACCESS_LOG="+file, "MILLPOND_PRIVACY="+privacy))
		c := newClient(t, b.url)
		c.get(t, http.MethodGet, s.URL("dists/stable/InRelease"))
		c.get(t, http.MethodGet, strings.Replace(s.URL("dists/stable/Release"), "//", "//bob:hunter2@", 1)+"?token=hunter2")
		for _, r := range awaitLines(t, file, 2) {
			if r.Client != want || !strings.Contains(r.URL, "/debian/dists/stable/") || strings.Contains(r.URL, "hunter2") {
				t.Errorf("%q: %+v, want client %q", privacy, r, want)
			}
		}
	}
}

// On SIGHUP lines go to a new file under the old name, as logrotate expects.
func TestAccessLogIsRotated(t *testing.T) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // else it would end the test where the box does not take it
	defer signal.Stop(hangups)
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	file := filepath.Join(t.TempDir(), "access.log")
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ACCESS_LOG="+file))
	c := newClient(t, b.url)
	c.get(t, http.MethodGet, s.URL("dists/stable/InRelease"))
	awaitLines(t, file, 1)
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, err := os.Stat(file); err != nil; _, err = os.Stat(file) {
		if time.Now().After(deadline) {
			t.Fatal("no new file after SIGHUP")
		}
		time.Sleep(5 * time.Millisecond) // polling the directory
	}
	c.get(t, http.MethodGet, s.URL("dists/stable/Release"))
	if got := awaitLines(t, file, 1); len(got) != 1 || !strings.HasSuffix(got[0].URL, "/Release") {
		t.Errorf("the new file: %+v", got)
	}
	if got := accessLines(t, file+".1"); len(got) != 1 {
		t.Errorf("the old file: %+v", got)
	}
}

func TestAccessLogThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	dir := t.TempDir()
	wantFault(t, s.environ(t.TempDir(), "MILLPOND_ACCESS_LOG="+dir+"/none/access.log"), "MILLPOND_ACCESS_LOG="+dir, "no such file", "- for standard output")
	_, err := parseConfig([]string{"MILLPOND_DATA_DIR=" + dir, fmt.Sprintf("MILLPOND_ACCESS_LOG=%s/access.log", dir)})
	if err == nil || !strings.Contains(err.Error(), "another directory") {
		t.Errorf("in the data directory: %v", err)
	}
}
