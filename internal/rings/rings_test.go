package rings

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the box is made of fits.
var (
	_ Catalog = (*catalog.Catalog)(nil)
	_ Store   = (*store.Store)(nil)
)

// rig is Rings over a real catalog and store, an archive with two suites, and a clock.
type rig struct {
	*Rings
	t        testing.TB
	box      *boxtest.Box
	archive  *aptest.Archive
	key      *aptest.Key
	setting  Definitions
	clock    time.Time
	log      bytes.Buffer
	versions map[digest.Digest]int // of the generations of stable, by number
	last     *aptest.Generation
	debs     []aptest.File
	kept     []digest.Digest // what Keep was asked for
}

const (
	base     = "http://archive.example.org/debian"
	indexOf  = "/main/binary-amd64/Packages.xz"
	stable   = "dists/stable"
	security = "dists/stable-security"
)

const (
	day = 24 * time.Hour
	// ago is by how much Releases are older than the clock of the test, which runs ahead:
	// no key signs in the future.
	ago = 60 * day
)

func newRig(t testing.TB, setting string) *rig {
	t.Helper()
	r := &rig{t: t, key: aptest.NewKey("archive"), clock: time.Now(), versions: make(map[digest.Digest]int)}
	all, err := Parse(setting)
	if err != nil {
		t.Fatal(err)
	}
	r.setting = all
	suite := func(name string) aptest.Suite {
		return aptest.Suite{Name: name, NoPDiffs: true, Compressions: []string{"xz"}, ValidFor: ago + 7*day}
	}
	r.archive = aptest.NewArchive(r.key, suite("stable"), suite("stable-security"))
	keys := t.TempDir()
	writeKey(t, keys, r.key)
	r.box = boxtest.New(t, boxtest.Options{Keys: keys, Quota: 1 << 30})
	r.open()
	return r
}

// open is a start of the box.
func (r *rig) open() {
	r.t.Helper()
	rings, err := Open(Options{
		Catalog: r.box.Catalog, Store: r.box.Store, Fetcher: r, Table: r.box.DB.Table("rings"), Setting: r.setting,
		Log: slog.New(slog.NewTextHandler(io.MultiWriter(&r.log, r.t.Output()), nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	rings.now = func() time.Time { return r.clock }
	r.Rings = rings
}

// Keep and Refresh have nobody to ask.
func (r *rig) Keep(_ context.Context, e catalog.Entry) error {
	r.kept = append(r.kept, e.Digest)
	return errors.New("no mirror")
}

func (r *rig) Refresh(context.Context, catalog.Location) error { return errors.New("no mirror") }

// publish puts the next generation in force, with its index read and held.
func (r *rig) publish() int {
	r.t.Helper()
	n := len(r.versions) + 1
	for _, suite := range []string{"stable", "stable-security"} {
		r.archive.Remove("tool-" + suite)
		deb := r.archive.Add(aptest.Package{Name: "tool-" + suite, Version: fmt.Sprintf("1.%d", n), Arch: "amd64", Suite: suite})
		if suite == "stable" {
			r.debs = append(r.debs, deb)
		}
	}
	r.last = r.archive.Publish(r.clock.Add(-ago))
	for _, dir := range []string{stable, security} {
		in := r.last.File(dir + "/InRelease")
		c, err := r.box.Catalog.CheckRelease(at(r.t, dir), catalog.ReleaseFiles{InRelease: in, Reach: catalog.Reach{Public: true}})
		if err != nil {
			r.t.Fatal(err)
		}
		g, err := r.box.Catalog.Adopt(c)
		if err != nil || !g.Signed {
			r.t.Fatal(g, err)
		}
		r.put(in)
		index := r.last.File(dir + indexOf)
		r.put(index)
		e := r.box.Catalog.Resolve(r.t.Context(), at(r.t, dir+indexOf), nil)
		if e.Index {
			if err := r.box.Catalog.LearnIndex(r.t.Context(), e, bytes.NewReader(index)); err != nil {
				r.t.Fatal(err)
			}
		}
		if dir == stable {
			r.versions[g.ID] = n
		}
	}
	r.evaluate()
	return n
}

func (r *rig) put(b []byte) {
	r.t.Helper()
	if err := r.box.Store.Put(digest.Of(b), int64(len(b)), bytes.NewReader(b), store.Meta{}); err != nil {
		r.t.Fatal(err)
	}
}

func at(t testing.TB, path string) catalog.Location {
	t.Helper()
	l, err := catalog.ParseURL(base + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// has is the number of the generation of stable that a ring has; 0 for what is in force.
func (r *rig) has(ring string) int {
	r.t.Helper()
	return r.versions[r.Generation(ring, at(r.t, stable))]
}

func (r *rig) want(when string, rings map[string]int) {
	r.t.Helper()
	for name, n := range rings {
		if got := r.has(name); got != n {
			r.t.Errorf("%s, %s has generation %d, want %d", when, name, got, n)
		}
	}
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	r.clock = r.clock.Add(d)
	r.evaluate()
}

// A ring gets what the one before it has had for its delay, and nothing earlier, however
// often that changes; a security suite has none.
func TestDelay(t *testing.T) {
	t.Parallel()
	r := newRig(t, "canary; prod after=canary delay=3d security=now")
	r.publish()
	for _, name := range []string{"canary", "prod"} {
		for _, dir := range []string{stable, security} {
			r.Begin(name, at(t, dir))
		}
	}
	r.want("at first", map[string]int{"canary": 0, "prod": 1})
	for n := 2; n <= 8; n++ { // one each day
		r.pass(day)
		r.publish()
		want := max(n-3, 1)
		r.want(fmt.Sprint("on day ", n), map[string]int{"canary": 0, "prod": want})
		if g := r.Generation("prod", at(t, security)); !g.IsZero() { // what is in force, even what comes just now
			t.Errorf("on day %d, prod has %s of the security suite", n, g.Short())
		}
	}
	r.want("at last", map[string]int{"prod": 5})
	r.pass(3*day - time.Second)
	r.want("just before three days", map[string]int{"prod": 7})
	r.pass(time.Second)
	r.want("after three days", map[string]int{"prod": 8})
	// It outlives a restart.
	r.open()
	r.want("after a restart", map[string]int{"prod": 8, "canary": 0})
	if lanes, err := r.Lanes("prod"); err != nil || len(lanes) != 2 || lanes[0].Next != nil || lanes[0].Latest != nil || lanes[0].Former == nil {
		t.Errorf("lanes: %+v, %v", lanes, err)
	}
}

// Of a new Release the indices are fetched that clients used of the one before, since the
// mirror may have them no more when a ring gets there.
func TestIndicesAreFetchedInTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, "prod delay=3d")
	r.publish()
	r.Begin("prod", at(t, stable))
	r.prepare(t.Context())
	r.kept = nil
	r.archive.Add(aptest.Package{Name: "more", Version: "1.0"})
	g := r.archive.Publish(r.clock.Add(day - ago))
	c, err := r.box.Catalog.CheckRelease(at(t, stable), catalog.ReleaseFiles{InRelease: g.File(stable + "/InRelease")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.box.Catalog.Adopt(c); err != nil {
		t.Fatal(err)
	}
	r.evaluate()
	for range 2 {
		r.prepare(t.Context())
	}
	if want := []digest.Digest{digest.Of(g.File(stable + indexOf))}; !slices.Equal(r.kept, want) {
		t.Errorf("fetched %v, want %v", r.kept, want)
	}
}

// A ring that begins late gets what the one before it had at that time.
func TestBeginsInThePast(t *testing.T) {
	t.Parallel()
	r := newRig(t, "prod delay=3d")
	r.publish()
	r.Begin("prod", at(t, stable))
	if err := r.Create(Definition{Name: "late", Delay: 36 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.pass(day)
		r.publish()
	}
	r.Begin("late", at(t, stable))
	r.want("late", map[string]int{"late": 2, "prod": 1})
	r.want("no ring, and no suite", map[string]int{"": 0, "other": 0})
	r.Begin("late", at(t, "dists/unknown"))
	if lanes, err := r.Lanes("late"); err != nil || len(lanes) != 1 {
		t.Errorf("a suite that is not known has a lane: %+v, %v", lanes, err)
	}
}

// Hold, promotion and rollback, one after the other, with a ring behind.
func TestHoldPromoteRollBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "canary; prod after=canary delay=3d; last after=prod delay=1d")
	r.publish()
	dir := at(t, stable)
	for _, name := range []string{"canary", "prod", "last"} {
		r.Begin(name, dir)
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r.pass(time.Hour)
	do(r.Hold("canary", dir, true))
	r.publish()
	r.want("held", map[string]int{"canary": 1, "prod": 1})
	do(r.Hold("canary", dir, false))
	r.pass(0)
	r.want("not held any more", map[string]int{"canary": 0, "prod": 1})
	do(r.Promote("prod", dir))
	r.want("promoted", map[string]int{"prod": 2, "last": 1})
	r.pass(time.Hour)
	r.publish() // 3, which turns out to be bad
	r.pass(time.Hour)
	do(r.RollBack("canary", dir))
	r.want("rolled back", map[string]int{"canary": 2, "prod": 2})
	r.pass(10 * day)
	r.want("long after", map[string]int{"canary": 2, "prod": 2, "last": 2})
	do(r.Hold("canary", dir, false))
	r.pass(0)
	r.want("not held, with nothing newer", map[string]int{"canary": 2})
	do(r.Hold("canary", dir, true))
	r.publish() // 4 mends it
	r.want("mended", map[string]int{"canary": 2})
	do(r.Hold("canary", dir, false))
	r.pass(0)
	r.want("mended, and not held any more", map[string]int{"canary": 0, "prod": 2})
	r.pass(3 * day)
	r.want("three days later", map[string]int{"prod": 4})
	do(r.RollBack("prod", catalog.Location{}))
	r.want("prod rolled back", map[string]int{"prod": 2, "canary": 0})
	r.open()
	r.pass(5 * day)
	r.want("after a restart", map[string]int{"prod": 2})
	if lanes, err := r.Lanes("prod"); err != nil || !lanes[0].Held || lanes[0].Latest == nil || lanes[0].Next != nil {
		t.Errorf("lanes: %+v, %v", lanes, err)
	}
	do(r.Promote("prod", dir))
	r.want("promoted again", map[string]int{"prod": 4})
	for _, tt := range []struct{ got, want error }{
		{r.Hold("x", dir, true), ErrNoRing}, {r.Promote("prod", at(t, "dists/x")), ErrNoLane}, {r.Delete("prod"), ErrSetting},
		{r.Promote("", dir), ErrNoRing},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("got %v, want %v", tt.got, tt.want)
		}
	}
	for _, line := range []string{"ring held", "ring not held any more", "ring promoted by an administrator", "ring rolled back by an administrator"} {
		if !strings.Contains(r.log.String(), line) {
			t.Errorf("the log has no %q", line)
		}
	}
}

// Rings are made and removed; what they had goes with them.
func TestCreateAndDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, "canary")
	r.publish()
	prod := Definition{Name: "prod", After: "canary", Delay: day, Clients: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.0.0.0/8")}}
	narrow := Definition{Name: "narrow", Clients: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}}
	for _, d := range []Definition{prod, narrow} {
		if err := r.Create(d); err != nil {
			t.Fatal(err)
		}
	}
	for _, again := range []bool{false, true} {
		for client, want := range map[string]string{"10.1.2.3": "narrow", "10.1.3.3": "prod", "10.9.9.9": "prod", "192.168.1.1": ""} {
			if got := r.RingOf(netip.MustParseAddr(client)); got != want {
				t.Errorf("restarted %v: %s is in ring %q, want %q", again, client, got, want)
			}
		}
		if !r.Has("prod") || r.Has("") || r.Has("x") {
			t.Error("Has is wrong")
		}
		r.open()
	}
	var invalid *InvalidError
	if err := r.Create(Definition{Name: "prod"}); !errors.As(err, &invalid) {
		t.Errorf("a second one of the name: %v", err)
	}
	if err := r.Delete("canary"); !errors.Is(err, ErrSetting) {
		t.Error(err)
	}
	if err := r.Create(Definition{Name: "end", After: "prod"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete("prod"); !errors.Is(err, ErrFollowed) {
		t.Error(err)
	}
	r.Begin("end", at(t, stable))
	for _, name := range []string{"end", "prod"} {
		if err := r.Delete(name); err != nil {
			t.Fatal(err)
		}
	}
	r.open()
	if n := len(r.List()); n != 2 {
		t.Errorf("%d rings, want 2", n)
	}
	rows := 0
	if err := r.table.Scan(nil, nil, func(key, _ []byte) bool {
		if strings.Contains(string(key), "end") || strings.Contains(string(key), "prod") {
			rows++
		}
		return true
	}); err != nil || rows != 0 {
		t.Errorf("%d rows of removed rings, %v", rows, err)
	}
	// A ring that is in the setting by now is the setting's.
	r.setting = append(r.setting, narrow)
	r.open()
	if err := r.Delete("narrow"); !errors.Is(err, ErrSetting) {
		t.Errorf("it is not the setting's: %v", err)
	}
}

// What a Release's Valid-Until means for a ring is told before it hurts, once.
func TestExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t, "prod delay=3d")
	r.publish() // valid for seven days
	dir := at(t, stable)
	r.Begin("prod", dir)
	expiry := func() string {
		t.Helper()
		lanes, err := r.Lanes("prod")
		if err != nil {
			t.Fatal(err)
		}
		return lanes[0].Expiry
	}
	r.pass(time.Hour)
	if why := expiry(); why != "" {
		t.Errorf("it has what is in force: %s", why)
	}
	r.publish()
	if why := expiry(); why != "" {
		t.Errorf("it gets the next one in time: %s", why)
	}
	if err := r.Hold("prod", dir, true); err != nil {
		t.Fatal(err)
	}
	r.pass(0)
	for _, says := range []string{"the ring is held", "apt refuses it"} {
		if why := expiry(); !strings.Contains(why, says) || !strings.Contains(why, "Acquire::Check-Valid-Until") {
			t.Errorf("got %q, want %q", why, says)
		}
		r.pass(8 * day)
	}
	r.pass(0)
	if n := strings.Count(r.log.String(), "Release of a ring expires"); n != 1 {
		t.Errorf("it was told %d times", n)
	}
}

// Suites that no key vouches for are not for rings.
func TestUnsignedSuites(t *testing.T) {
	t.Parallel()
	r := newRig(t, "prod delay=3d")
	r.key = nil
	*r.box.Keyring = keyring.Keyring{}
	a := aptest.NewArchive(nil)
	c, err := r.box.Catalog.CheckRelease(at(t, stable), catalog.ReleaseFiles{Release: a.Publish(r.clock.Add(-ago)).File(stable + "/Release")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.box.Catalog.Adopt(c); err != nil {
		t.Fatal(err)
	}
	r.Begin("prod", at(t, stable))
	if lanes, err := r.Lanes("prod"); err != nil || len(lanes) != 0 {
		t.Errorf("lanes: %+v, %v", lanes, err)
	}
	if g := r.Generation("prod", at(t, stable)); !g.IsZero() {
		t.Errorf("prod has %s", g.Short())
	}
}

// What a promotion would bring.
func TestChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, "prod delay=3d")
	r.archive.Add(aptest.Package{Name: "goes", Version: "1.0", Arch: "amd64"})
	r.archive.Add(aptest.Package{Name: "stays", Version: "1.0", Arch: "amd64"})
	r.publish()
	dir := at(t, stable)
	r.Begin("prod", dir)
	r.archive.Remove("goes")
	r.archive.Add(aptest.Package{Name: "stays", Version: "0.9", Arch: "amd64"}) // an older one beside it
	// The security suite has the very file that comes to stable.
	for _, suite := range []string{"stable", "stable-security"} {
		r.archive.Add(aptest.Package{Name: "fix", Version: "1.0", Arch: "amd64", Suite: suite})
	}
	r.pass(time.Hour)
	r.publish()
	c, err := r.Changes(t.Context(), "prod", dir)
	want := []Change{
		{"fix", "amd64", "", "1.0", true}, {"goes", "amd64", "1.0", "", false}, {"tool-stable", "amd64", "1.1", "1.2", false},
	}
	if err != nil || c.Added != 1 || c.Removed != 1 || c.Replaced != 1 || c.Security != 1 || c.Unread || !slices.Equal(c.Packages, want) {
		t.Errorf("changes: %+v, %v", c, err)
	}
	if err := r.Promote("prod", dir); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Changes(t.Context(), "prod", dir); err != nil || len(c.Packages) != 0 || c.From != c.To {
		t.Errorf("after the promotion: %+v, %v", c, err)
	}
	if _, err := r.Changes(t.Context(), "x", dir); !errors.Is(err, ErrNoRing) {
		t.Error(err)
	}
	if _, err := r.Changes(t.Context(), "prod", at(t, "dists/x")); !errors.Is(err, ErrNoLane) {
		t.Error(err)
	}
}

func writeKey(t testing.TB, dir string, key *aptest.Key) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "archive.gpg"), key.Public(), 0o600); err != nil {
		t.Fatal(err)
	}
}
