package catalog

import (
	"fmt"
	"slices"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// What a Release lists is for all boxes once it came from where anybody can fetch
// it, and for members before, over a restart too; with a setting it does not matter.
func TestSharing(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	public, private, login := Reach{Public: true}, Reach{Why: "10.1.2.3 is a private address"}, Reach{Why: "a login was sent"}
	for _, tt := range []struct {
		name   string
		login  bool
		listed bool
		first  Reach
		shared Sharing
		later  Reach // where the same Release comes from then
		then   Sharing
	}{
		{"not known, then private", false, false, Reach{}, WithMembers, private, WithMembers},
		{"not known, then public", false, false, Reach{}, WithMembers, public, WithAll},
		{"private", false, false, private, WithMembers, Reach{Why: "another"}, WithMembers},
		{"private, then public", false, false, private, WithMembers, public, WithAll},
		{"public, then private", false, false, public, WithAll, private, WithAll},
		{"login", true, false, login, WithNobody, login, WithNobody},
		{"private, listed", false, true, private, WithAll, private, WithAll},
		{"login, listed", true, true, login, WithAll, login, WithAll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCatalog(t, key)
			c.shareHost = func(l Location) bool { return tt.listed && l.Host == "archive.example.org" }
			dir := at(t, archiveURL).Join("dists/stable")
			files := releaseFiles(g, "dists/stable")
			files.Private, files.Reach = tt.login, tt.first
			gen, err := c.learnRelease(dir, files)
			if err != nil {
				t.Fatal(err)
			}
			c.learnFile(t, archiveURL, index, g)
			check := func(c *Catalog, want Sharing) {
				t.Helper()
				d := digest.Of(deb.Data)
				e := c.resolveURL(t, archiveURL+"/"+deb.Path)
				_, with := c.Shared(d)
				described, _ := c.Describe(d)
				if e.Shared != want || with != want || described.Shared != want {
					t.Errorf("resolved %v, Shared %v, described %v; want %v", e.Shared, with, described.Shared, want)
				}
			}
			check(c, tt.shared)
			changed := c.Changed()
			if err := c.Reached(dir, gen.ID, tt.later); err != nil {
				t.Fatal(err)
			}
			check(c, tt.then)
			select {
			case <-changed:
				if tt.shared == tt.then {
					t.Error("a change of what is shared was told")
				}
			default:
				if tt.shared != tt.then {
					t.Error("no change of what is shared was told")
				}
			}
			if !tt.listed { // reopen has no such setting
				check(reopen(t, c), tt.then)
			}
		})
	}
}

// That a host is private is told once: not of its other suites and generations, nor
// after a restart, nor where it is shared.
func TestPrivateIsToldOnce(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	var told []string
	tell := func(l Location, why string) { told = append(told, l.Host+": "+why) }
	c := newCatalog(t, key)
	c.private = tell
	learn := func(url string, days int, r Reach) {
		t.Helper()
		files := releaseFiles(a.Publish(day.AddDate(0, 0, days)), "dists/stable")
		files.Reach = r
		if _, err := c.learnRelease(at(t, url), files); err != nil {
			t.Fatal(err)
		}
	}
	private := Reach{Why: "10.1.2.3 is a private address"}
	learn("http://public.example.org/dists/stable", 0, Reach{Public: true})
	learn("http://apt.lan/debian/dists/stable", 0, private)
	learn("http://apt.lan/debian/dists/stable", 1, private)
	learn("http://apt.lan/other/dists/stable", 1, private)
	c = reopen(t, c)
	c.private = tell
	learn("http://apt.lan/debian/dists/stable", 2, private)
	if want := []string{"apt.lan: " + private.Why}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A digest that a public archive lists, too, is for all boxes.
func TestSharedWhereItIsPublic(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	var deb aptest.File
	for i, reach := range []Reach{{Why: "10.1.2.3 is a private address"}, {Public: true}} {
		a := aptest.NewArchive(key)
		deb = a.Add(aptest.Package{Name: "hello", Version: "1.0"})
		a.Add(aptest.Package{Name: "other", Version: fmt.Sprint(i)})
		g := a.Publish(day)
		base := fmt.Sprintf("http://archive%d.example.org/debian", i)
		files := releaseFiles(g, "dists/stable")
		files.Reach = reach
		if _, err := c.learnRelease(at(t, base).Join("dists/stable"), files); err != nil {
			t.Fatal(err)
		}
		c.learnFile(t, base, "dists/stable/main/binary-amd64/Packages.xz", g)
		want := []Sharing{WithMembers, WithAll}[i]
		if _, with := c.Shared(digest.Of(deb.Data)); with != want {
			t.Errorf("%s: %v, want %v", base, with, want)
		}
	}
	if e := c.resolveURL(t, "http://archive0.example.org/debian/"+deb.Path); e.Shared != WithAll {
		t.Errorf("of the private archive: %v", e.Shared)
	}
}
