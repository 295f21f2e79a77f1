package prefetch

import (
	"fmt"
	"hash/maphash"
	"iter"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/deb822"
	"millpond/internal/digest"
)

// What comes under a new name and is needed by what clients use is fetched, with what that
// needs; nothing that the release listed before, or that nobody needs.
func TestNewDepends(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	old := []string{"linux-amd64_1_amd64.deb", "linux-6.1-amd64_1_amd64.deb", "tool_1_amd64.deb", "had_1_amd64.deb", "listed_1_all.deb", "doc_1_all.deb", "gone_1_amd64.deb"}
	s.publish("bookworm", old...)
	s.get("linux-amd64_1_amd64.deb", "linux-6.1-amd64_1_amd64.deb", "tool_1_amd64.deb", "had_1_amd64.deb", "doc_1_all.deb")
	for file, fields := range map[string]string{
		"linux-amd64_2_amd64.deb":     "Depends: linux-6.2-amd64 (= 2), had\n",
		"linux-arm64_2_arm64.deb":     "Depends: linux-6.2-arm64\n",
		"linux-6.2-amd64_2_amd64.deb": "Pre-Depends: linux-6.2-common\nDepends: listed, linux-amd64\nRecommends: advice\n",
		"linux-6.2-common_2_all.deb":  "Depends: linux-6.2-amd64, tool\n", // a circle
		"tool_1_amd64.deb":            "Depends: had | instead, new-had | had, service, first | second, too-new (>= 3)\n",
		"had_1_amd64.deb":             "Provides: service\n",
		"doc_1_all.deb":               "Depends: plugin\n",
		"gone_1_amd64.deb":            "Depends: unused\n",
	} {
		s.fields[file] = fields
	}
	dir := s.publish("bookworm", append(old[2:],
		"linux-amd64_2_amd64.deb", "linux-arm64_2_arm64.deb", "linux-6.2-amd64_2_amd64.deb", "linux-6.2-arm64_2_arm64.deb", "linux-6.2-common_2_all.deb", "advice_1_all.deb",
		"instead_1_all.deb", "new-had_1_all.deb", "service_1_all.deb", "first_1_all.deb", "second_1_all.deb", "too-new_2_all.deb",
		"plugin_1_amd64.deb", "plugin_1_arm64.deb", "unused_1_all.deb")...)
	_, got := s.wave(dir)
	s.wantWave("the update", got, "linux-amd64_2_amd64.deb", "linux-6.2-amd64_2_amd64.deb", "linux-6.2-common_2_all.deb", "first_1_all.deb", "plugin_1_amd64.deb")
	s.restart()
	_, got = s.wave(dir)
	s.wantWave("once more", got)

	// What was new in the generation before, and not had, still is.
	mustT(t, s.held.Remove(digestOf("first_1_all.deb")))
	dir = s.publish("bookworm", append(old[2:], "first_1_all.deb", "linux-amd64_2_amd64.deb")...)
	_, got = s.wave(dir)
	s.wantWave("the next generation", got, "first_1_all.deb")
}

// Nothing is new by its name in a suite that is new itself, nor if another suite of the
// release lists it.
func TestOldNames(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	s.fields["a_1_all.deb"] = "Depends: b\n"
	dir := s.publish("bookworm", "a_1_all.deb", "b_1_all.deb")
	s.get("a_1_all.deb")
	_, got := s.wave(dir)
	s.wantWave("the first generation", got)
	s.fields["a_2_all.deb"] = "Depends: b\n"
	s.publish("bookworm-security", "a_1_all.deb")
	security := s.publish("bookworm-security", "a_2_all.deb", "b_2_all.deb")
	_, got = s.wave(security)
	s.wantWave("another suite", got, "a_2_all.deb")
}

// On a full disk a new kernel takes the room of the one before, which no suite lists.
func TestNewNameOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4)
	s.fields["linux_2_all.deb"] = "Depends: linux-6.2\n"
	s.publish("bookworm", "linux_1_all.deb", "linux-6.1_1_all.deb", "linux-doc-6.1_1_all.deb", "other_1_all.deb")
	s.get("linux_1_all.deb", "linux-6.1_1_all.deb", "linux-doc-6.1_1_all.deb", "other_1_all.deb")
	state, _ := s.wave(s.publish("bookworm", "linux_2_all.deb", "linux-6.2_2_all.deb", "other_1_all.deb"))
	s.wantHeld("new", true, "linux_2_all.deb", "linux-6.2_2_all.deb")
	s.wantHeld("superseded", false, "linux_1_all.deb", "linux-6.1_1_all.deb")
	s.wantHeld("others", true, "linux-doc-6.1_1_all.deb", "other_1_all.deb")
	if state.NoRoom != 0 {
		t.Errorf("%+v", state)
	}
}

// However many names are new, and in however long a chain, each comes once.
func TestBoundsOfNewNames(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	dir := suiteDir("bookworm")
	list := func(yield func(catalog.Entry, error) bool) {
		for i := range maxFresh + 100 {
			if !yield(pkg(fmt.Sprintf("p%d_1_all.deb", i)), nil) {
				return
			}
		}
	}
	k := known{maphash.MakeSeed(), make(map[uint64]struct{})}
	_, err := k.add(t.Context(), func(yield func(catalog.Entry, error) bool) {
		for i := 0; yield(catalog.Entry{Location: dir.Join(fmt.Sprintf("p%d_1_all.deb", i))}, nil); i++ {
		}
	})
	mustT(t, err)
	if n := len(k.has); n != maxKnown+1 {
		t.Errorf("%d names are known, want %d", n, maxKnown+1)
	}
	s.Prefetcher.catalog = listing{s.listed, list}
	all, err := s.addFresh(t.Context(), known{seed: maphash.MakeSeed()}, dir, nil)
	mustT(t, err)
	if len(all) != maxFresh {
		t.Errorf("%d packages are new, want %d", len(all), maxFresh)
	}
	d := newDepends{uses: s.uses, line: "bookworm", byName: make(map[string][]*fresh), byDigest: make(map[digest.Digest]*fresh), used: make(map[string]bool), archs: make(map[string]bool)}
	for i, f := range all {
		f.version = "1"
		d.byName[f.file.Package], d.byDigest[f.entry.Digest] = []*fresh{f}, f
		for _, next := range []int{i + 1, i * 2, 0} {
			f.needs = append(f.needs, deb.Dependency{{Package: fmt.Sprint("p", next)}})
		}
	}
	d.needs = []need{{deb.Dependency{{Package: "p0"}}, "all", 1}}
	p := newPlan(nil)
	d.plan(p)
	if len(p.wants) != maxFresh {
		t.Errorf("%d packages are planned, want %d", len(p.wants), maxFresh)
	}
	d.read(deb822.Package{Depends: "(((, p1"}) // no package's file
	if len(d.needs) != 1 {
		t.Errorf("%d dependencies", len(d.needs))
	}
}

// listing is a catalog whose suites all list the same.
type listing struct {
	*catalog.Catalog
	list func(func(catalog.Entry, error) bool)
}

func (l listing) Packages(catalog.Location) iter.Seq2[catalog.Entry, error] { return l.list }
