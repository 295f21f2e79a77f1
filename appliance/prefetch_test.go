package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/digest"
)

const adminToken = "correct-horse-battery-staple"

// wave is a site whose archive moves on.
type wave struct {
	*site
	debs map[string]aptest.File // by name, the newest version
	date time.Time              // of the newest generation; they are dated by the second
}

// newWave is a site with three packages of this size.
func newWave(t *testing.T, size int) *wave {
	s := &site{Archive: boxtest.NewArchive(t, aptest.MirrorOptions{}, aptest.Suite{NoPDiffs: true})}
	w := &wave{site: s, debs: make(map[string]aptest.File), date: time.Now().Add(-time.Hour)}
	w.publish("1.0-1", size)
	return w
}

// publish moves the archive to another version of its packages.
func (w *wave) publish(version string, size int) {
	for _, name := range []string{"alpha", "beta", "gamma"} {
		w.Remove(name)
		w.debs[name] = w.Add(aptest.Package{Name: name, Version: version, Size: size})
	}
	w.date = w.date.Add(time.Minute)
	w.now = w.Release(w.date)
}

// box runs a box that asks for heads each time, and fetches nothing by itself unless more
// says so.
func (w *wave) box(t *testing.T, more ...string) *box {
	return start(t, w.environ(t.TempDir(), append([]string{"MILLPOND_INDEX_TTL=0s", "MILLPOND_PREFETCH=0", "MILLPOND_ADMIN_TOKEN=" + adminToken}, more...)...))
}

// install gets the newest version of packages, as apt does.
func (w *wave) install(t *testing.T, c *client, names ...string) {
	t.Helper()
	c.update(t, w.site, w.Mirror.URL("/debian"))
	for _, name := range names {
		c.want(t, w.Mirror.URL("/debian/"+w.debs[name].Path), w.debs[name].Data)
	}
}

// askPrefetch begins a prefetch and returns the answer.
func askPrefetch(t *testing.T, b *box, body string) (code int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/api/v1/prefetch", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := newClient(t, "").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// prefetch runs one to its end.
func runPrefetch(t *testing.T, b *box, body string) api.Prefetch {
	t.Helper()
	if code, answer := askPrefetch(t, b, body); code != http.StatusOK {
		t.Fatalf("prefetch %s: %d: %s", body, code, answer)
	}
	return prefetched(t, b)
}

// prefetched waits for the end of a prefetch, if one is running, and returns the last one.
func prefetched(t *testing.T, b *box) api.Prefetch {
	t.Helper()
	c := newClient(t, "")
	for deadline := time.Now().Add(20 * time.Second); ; {
		var p api.Prefetch
		_, answer := c.get(t, http.MethodGet, b.url+"/api/v1/prefetch")
		if err := json.Unmarshal(answer, &p); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		if !p.Running {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running: %+v", p)
		}
		time.Sleep(5 * time.Millisecond) // polling over HTTP
	}
}

// A new generation: what clients have installed is there before they ask, and
// nothing else; it costs the mirror's bytes when it is taken, and saves them
// when it is served.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprint("all ", all), func(t *testing.T) {
			t.Parallel()
			w := newWave(t, 600_000)
			b := w.box(t)
			c := newClient(t, b.url)
			clients := func() int64 { return c.got }
			mirror := func() int64 { return w.Mirror.BytesSent("*") }
			w.install(t, c, "alpha", "beta")
			before := figures(t, b, clients, mirror)

			w.publish("1.0-2", 600_000)
			suite := w.Mirror.URL("/debian/dists/stable")
			body := fmt.Sprintf(`{"suite": %q}`, suite)
			if all {
				body, suite = "{}", ""
			}
			p := runPrefetch(t, b, body)
			index := w.now.File("dists/stable/main/binary-amd64/Packages.xz")
			bytes := int64(len(w.debs["alpha"].Data) + len(w.debs["beta"].Data))
			want := api.Prefetch{
				Suite: suite, Started: p.Started, Ended: p.Ended, Files: 2, Bytes: bytes, FilesDone: 2, BytesDone: bytes,
			}
			whole := p
			p.Budget, p.Since, p.Total, p.Waves = want.Budget, want.Since, want.Total, want.Waves
			if !reflect.DeepEqual(p, want) || p.Started == nil || p.Ended.Before(*p.Started) {
				t.Errorf("prefetch: %+v, want %+v", p, want)
			}
			cost := api.PrefetchCost{Files: 2, FromMirrors: bytes}
			if w := whole.Waves; whole.Total != cost || len(w) != 1 || w[0].Cost != cost || w[0].Files != 2 || w[0].Automatic || whole.Budget.Spent != bytes {
				t.Errorf("its account: %+v", whole)
			}
			if n := w.Mirror.Requests("*gamma*"); n != 0 {
				t.Errorf("a package that nobody has was asked for %d times", n)
			}
			fetched := figures(t, b, clients, mirror)
			taken := fetched.MirrorBytes - before.MirrorBytes
			const asked = 1 // byte of the index, before its Release is taken
			if taken != bytes+int64(len(index)+len(w.now.File("dists/stable/InRelease")))+asked || fetched.SavedBytes != before.SavedBytes-taken {
				t.Errorf("%d bytes taken for %d; saved went from %d to %d", taken, bytes, before.SavedBytes, fetched.SavedBytes)
			}

			again := runPrefetch(t, b, body)
			if again.Files != 0 || again.Error != "" {
				t.Errorf("prefetch of what is held: %+v", again)
			}

			// The prefetch asked for the Release once more, which proves its validators.
			fetched = figures(t, b, clients, mirror)
			w.Mirror.Down()
			got := c.got
			w.install(t, c, "alpha", "beta")
			served := figures(t, b, clients, mirror)
			if n := served.SavedBytes - fetched.SavedBytes; n != c.got-got || n < bytes {
				t.Errorf("serving %d bytes without the mirror saved %d", c.got-got, n)
			}
			if down := runPrefetch(t, b, body); !strings.Contains(down.Error, w.Mirror.Addr()) {
				t.Errorf("prefetch with the mirror away: %+v", down)
			}
		})
	}
}

// On a full cache what is superseded makes room, and nothing else is evicted.
func TestPrefetchOnAFullCache(t *testing.T) {
	t.Parallel()
	w := newWave(t, 600_000)
	w.debs["delta"] = w.Add(aptest.Package{Name: "delta", Version: "1.0-1", Size: 600_000})
	w.date = w.date.Add(time.Minute)
	w.now = w.Release(w.date)
	// 77 MB are the database's, and there is no room for a fourth package.
	b := w.box(t, "MILLPOND_CACHE_SIZE=79MB")
	c := newClient(t, b.url)
	w.install(t, c, "delta", "beta", "alpha")
	before := maps.Clone(w.debs)
	w.publish("1.0-2", 600_000)
	p := runPrefetch(t, b, "{}")
	if p.NoRoom != 0 || p.FilesDone != 2 || p.FilesFailed != 0 || p.Error != "" {
		t.Errorf("prefetch: %+v", p)
	}
	for _, tt := range []struct {
		file aptest.File
		held bool
	}{
		{before["alpha"], false}, {before["beta"], false}, {w.debs["alpha"], true}, {w.debs["beta"], true}, {w.debs["delta"], true},
	} {
		if _, err := b.store.Stat(digest.Of(tt.file.Data)); (err == nil) != tt.held {
			t.Errorf("%s: held %v, want %v", tt.file.Path, err == nil, tt.held)
		}
	}
}

// A box fetches by itself what its clients use when a suite has changed, and counts what
// they then get of it, also after a restart.
func TestAutomaticPrefetch(t *testing.T) {
	t.Parallel()
	w := newWave(t, 100_000)
	settings := []string{"MILLPOND_DATA_DIR=" + t.TempDir(), "MILLPOND_PREFETCH=10GB"}
	b := w.box(t, settings...)
	c := newClient(t, b.url)
	w.install(t, c, "alpha", "beta")
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	b = w.box(t, settings...)
	c = newClient(t, b.url)
	if err := b.store.Remove(digest.Of(w.debs["beta"].Data)); err != nil {
		t.Fatal(err)
	}
	w.publish("1.0-2", 100_000)
	c.update(t, w.site, w.Mirror.URL("/debian"))
	var p api.Prefetch
	for deadline := time.Now().Add(30 * time.Second); ; {
		// One of the generation before, which begins with the box, has nothing to fetch.
		if p = ask[api.Prefetch](t, b, "prefetch"); p.Files > 0 && !p.Ended.IsZero() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ended: %+v", p)
		}
		time.Sleep(5 * time.Millisecond) // polling over HTTP
	}
	bytes := int64(len(w.debs["alpha"].Data) + len(w.debs["beta"].Data))
	if cost := (api.PrefetchCost{Files: 2, FromMirrors: bytes}); !p.Automatic || p.FilesDone != 2 || p.Total != cost || p.Budget.Spent != bytes || p.Budget.Bytes != 10e9 {
		t.Errorf("prefetch: %+v", p)
	}
	if n := w.Mirror.Requests("*gamma*"); n != 0 {
		t.Errorf("a package that nobody uses was asked for %d times", n)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	b = w.box(t, settings...)
	w.Mirror.Down()
	newClient(t, b.url).want(t, w.Mirror.URL("/debian/"+w.debs["alpha"].Path), w.debs["alpha"].Data)
	p = ask[api.Prefetch](t, b, "prefetch")
	used := int64(len(w.debs["alpha"].Data))
	if cost := (api.PrefetchCost{Files: 2, FromMirrors: bytes, UsedFiles: 1, UsedBytes: used}); p.Total != cost || len(p.Waves) != 1 || p.Waves[0].Cost != cost || p.Budget.Spent != bytes {
		t.Errorf("after a restart, with one of the files got: %+v", p)
	}
}

// A box that stops in the middle of a prefetch does not wait for it, and the
// next one goes on where it was.
func TestStopDuringPrefetch(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	w := newWave(t, size)
	dir := "MILLPOND_DATA_DIR=" + t.TempDir()
	b := w.box(t, dir)
	w.install(t, newClient(t, b.url), "alpha")
	w.publish("1.0-2", size)
	stall := w.Mirror.Inject("*alpha_1.0-2*", aptest.Stall(2<<20))
	if code, answer := askPrefetch(t, b, "{}"); code != http.StatusOK {
		t.Fatalf("%d: %s", code, answer)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		all := ask[api.TransferList](t, b, "transfers").Transfers
		if len(all) == 1 && all[0].Have == 2<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("transfers: %+v", all)
		}
		time.Sleep(5 * time.Millisecond) // the download gives no signal
	}
	if code, answer := askPrefetch(t, b, "{}"); code != http.StatusConflict || !bytes.Contains(answer, []byte("running")) {
		t.Errorf("a second one: %d: %s", code, answer)
	}
	begun := time.Now()
	if err := b.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(begun); took > grace/2 {
		t.Errorf("stopping took %v", took)
	}
	stall.Release()

	sent := w.Mirror.BytesSent("*alpha_1.0-2*")
	b = w.box(t, dir)
	if p := runPrefetch(t, b, "{}"); p.FilesDone != 1 || p.Error != "" {
		t.Errorf("the next prefetch: %+v", p)
	}
	if more := w.Mirror.BytesSent("*alpha_1.0-2*") - sent; more > int64(len(w.debs["alpha"].Data))-2<<20+128<<10 {
		t.Errorf("it took %d bytes for what was missing of %d", more, len(w.debs["alpha"].Data))
	}
}

func TestPrefetchRefused(t *testing.T) {
	t.Parallel()
	w := newWave(t, 1000)
	online, offline := w.box(t), w.box(t, "MILLPOND_OFFLINE=true")
	w.install(t, newClient(t, online.url), "alpha")
	for _, tt := range []struct {
		box        *box
		body, says string
		code       int
	}{
		{online, `{"suite": "http://deb.example.org/debian/dists/bookworm"}`, w.Mirror.URL("/debian/dists/stable"), http.StatusNotFound},
		{offline, `{}`, "MILLPOND_OFFLINE", http.StatusConflict},
	} {
		if code, answer := askPrefetch(t, tt.box, tt.body); code != tt.code || !bytes.Contains(answer, []byte(tt.says)) {
			t.Errorf("%s: %d, want %d with %q: %s", tt.body, code, tt.code, tt.says, answer)
		}
	}
}
