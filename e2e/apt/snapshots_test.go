package apt

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/system"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// history is an archive that changes: each generation replaces one package, adds one, and
// takes those of the generation before away.
type history struct {
	*site
	begin       time.Time
	generations []*aptest.Generation
}

// newHistory publishes the first generation, days before now, at a mirror that forgets.
func newHistory(t *testing.T, days int, settings ...string) *history {
	t.Helper()
	h := &history{site: &site{key: aptest.NewKey("archive")}, begin: time.Now().AddDate(0, 0, -days).Truncate(time.Second)}
	h.archive = aptest.NewArchive(h.key, aptest.Suite{}, aptest.Suite{Name: "stable-security"})
	h.archive.Add(aptest.Package{Name: "steady", Version: "1.0-1", Arch: "amd64", Size: 20_000})
	h.mirror = aptest.NewMirror(t, aptest.MirrorOptions{Forget: true})
	h.publish()
	h.box = box.Start(t, h.settings(t, append([]string{"MILLPOND_INDEX_TTL=0s", "MILLPOND_ADMIN_TOKEN=" + adminToken}, settings...)...)...)
	return h
}

// publish publishes the next generation, a day after the one before.
func (h *history) publish() {
	n := len(h.generations) + 1
	for _, suite := range []string{"stable", "stable-security"} {
		name := map[string]string{"stable": "tool", "stable-security": "fix"}[suite]
		h.archive.Remove(name)
		h.archive.Add(aptest.Package{Name: name, Version: fmt.Sprintf("1.%d-1", n), Arch: "amd64", Size: 300_000, Suite: suite})
	}
	h.archive.Add(aptest.Package{Name: fmt.Sprintf("new%d", n), Version: "1.0-1", Arch: "amd64", Size: 1000})
	g := h.archive.Publish(h.begin.AddDate(0, 0, n-1))
	h.mirror.Publish("/debian", g)
	h.generations = append(h.generations, g)
}

// at is the time of a snapshot of generation n, from 1 on.
func (h *history) at(n int) string {
	return h.generations[n-1].Time.Add(time.Hour).UTC().Format("20060102T150405Z")
}

// below is the archive's URL below a path of the box, /snapshot/TIME for one.
func (h *history) below(path string) string {
	return h.box.URL + path + "/" + h.mirror.Addr() + "/debian"
}

// from is a fresh apt that uses the suite stable at url.
func (h *history) from(t *testing.T, url string, suites ...string) *aptest.Client {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(h.key)
	var lines []string
	for _, s := range append([]string{"stable"}, suites...) {
		lines = append(lines, "deb "+url+" "+s+" main")
	}
	c.Sources(lines...)
	return c
}

// versions are those of the packages that an apt knows.
func versions(t *testing.T, c *aptest.Client) map[string]string {
	t.Helper()
	out := mustRun(t, c, "apt-cache", "dumpavail")
	all := make(map[string]string)
	var name string
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Package":
			name = value
		case "Version":
			all[name] = value
		}
	}
	return all
}

// TestSnapshot has real tools use an archive as it was, while the archive moves on and its
// mirror forgets.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	need(t, "mmdebstrap")
	h := newHistory(t, 10)
	// A client uses the first generation, and the box sees two more.
	first := h.from(t, h.below(""))
	first.MustApt("update")
	first.MustApt("install", "--download-only", "tool", "steady")
	for range 2 {
		h.publish()
		h.from(t, h.below("")).MustApt("update")
	}
	url := h.below("/snapshot/" + h.at(1))
	bootstrap := func() map[string][]byte {
		dir := filepath.Join(t.TempDir(), "root")
		key := filepath.Join(t.TempDir(), "key.gpg")
		if err := os.WriteFile(key, h.key.Public(), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "mmdebstrap", "--variant=extract", "--mode=root", "--architectures=amd64", "--include=tool,steady",
			"--keyring="+key, "--aptopt=Acquire::http::Proxy \"DIRECT\"", "stable", dir, "deb "+url+" stable main")
		if err := system.Finish(cmd); err != nil {
			t.Fatal(err)
		}
		return files(t, filepath.Join(dir, "usr"), "/")
	}
	one := bootstrap()
	if len(one) < 4 {
		t.Errorf("the first bootstrap has %v", slices.Sorted(maps.Keys(one)))
	}
	h.publish()
	h.from(t, h.below("")).MustApt("update")
	same(t, "the second bootstrap", bootstrap(), one)

	// Each moment has its own lists, under the names of indices too.
	for n, want := range map[int]string{1: "1.1-1", 2: "1.2-1", 3: "1.3-1", 4: "1.4-1"} {
		for _, byHash := range []string{"yes", "no"} {
			c := h.from(t, h.below("/snapshot/"+h.at(n)))
			c.Set("Acquire::By-Hash", byHash)
			c.MustApt("update", "--error-on=any")
			got := versions(t, c)
			if got["tool"] != want || got[fmt.Sprintf("new%d", n)] == "" || got[fmt.Sprintf("new%d", n+1)] != "" {
				t.Errorf("snapshot of generation %d, by hash %s: %v", n, byHash, got)
			}
		}
	}
	// It disturbs nobody else at the same address.
	c := h.from(t, h.below(""))
	c.MustApt("update")
	if got := versions(t, c)["tool"]; got != "1.4-1" {
		t.Errorf("without a snapshot the client gets %s", got)
	}
	// What a restarted box has kept is there.
	h.box.Stop()
	h.box.Run()
	same(t, "after a restart", bootstrap(), one)

	for path, why := range map[string]string{
		"/snapshot/20300101":                    "to come",
		"/snapshot/20010101":                    "no generation of this suite is held from that time",
		"/snapshot/yesterday":                   "write it as",
		"/ring/prod":                            "there is no ring",
		"/snapshot/" + h.at(1) + "/ring/canary": "",
	} {
		out, err := h.from(t, h.below(path)).Apt(t.Context(), "update", "--error-on=any")
		if err == nil || !strings.Contains(out, why) {
			t.Errorf("%s: %v, want an error that says %q", path, err, why)
		}
	}
}

// Of a suite behind a login there are no snapshots, though the box has a login of its own:
// the API offers none, and a client is told why.
func TestSnapshotBehindALogin(t *testing.T) {
	t.Parallel()
	s := &site{key: aptest.NewKey("archive")}
	s.archive, s.mirror = aptest.NewArchive(s.key), aptest.NewMirror(t, aptest.MirrorOptions{})
	s.archive.Add(aptest.Package{Name: "tool", Version: "1.0-1", Size: 1000})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	s.mirror.Inject("/debian/*", aptest.Login(login("alice")))
	auth := filepath.Join(t.TempDir(), "auth.conf")
	if err := os.WriteFile(auth, []byte("machine http://"+s.mirror.Addr()+" login alice password "+passwords["alice"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.box = box.Start(t, s.settings(t, "MILLPOND_AUTH_FILE="+auth)...)
	h := &history{site: s}
	h.from(t, h.below("")).MustApt("update", "--error-on=any")
	all := list[api.Generation](t, s.box, "/api/v1/generations?suite="+h.suite()).Items
	if len(all) != 1 || !all[0].Login || all[0].Snapshot != "" {
		t.Errorf("generations: %+v", all)
	}
	now := time.Now().UTC().Format("20060102T150405Z")
	out, err := h.from(t, h.below("/snapshot/"+now)).Apt(t.Context(), "update", "--error-on=any")
	if err == nil || !strings.Contains(out, "it came with a login") {
		t.Errorf("a snapshot of it: %v, want an error that says why there is none", err)
	}
}
