package catalog

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"fmt"
	"strings"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// sums are the hashes of data by the lists of a Release.
func sums(data []byte) map[string]string {
	return map[string]string{
		"MD5Sum": fmt.Sprintf("%x", md5.Sum(data)), "SHA1": fmt.Sprintf("%x", sha1.Sum(data)),
		"SHA256": digest.Of(data).String(), "SHA512": fmt.Sprintf("%x", sha512.Sum512(data)),
	}
}

// listsBy is the text of a Release that lists files by these hashes.
func listsBy(head string, files map[string][]byte, hashes ...string) []byte {
	var b strings.Builder
	b.WriteString(head)
	for _, h := range hashes {
		b.WriteString(h + ":\n")
		for name, data := range files {
			fmt.Fprintf(&b, " %s %d %s\n", sums(data)[h], len(data), name)
		}
	}
	return []byte(b.String())
}

const byHashHead = "Suite: stable\nDate: Sun, 01 Mar 2026 08:00:00 UTC\nAcquire-By-Hash: yes\n"

// An index is the same under its name by any hash.
func TestResolveByAnyHash(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	index, other := []byte(onePackage), []byte("Package: b\n")
	text := listsBy(byHashHead, map[string][]byte{"main/binary-amd64/Packages": index, "main/other": other}, "MD5Sum", "SHA1", "SHA256", "SHA512")
	for _, signed := range []bool{true, false} {
		for list, sum := range sums(index) {
			t.Run(fmt.Sprintf("%s, signed %v", list, signed), func(t *testing.T) {
				t.Parallel()
				c := newCatalog(t, key)
				files := ReleaseFiles{Release: text}
				if signed {
					files = ReleaseFiles{InRelease: aptest.Clearsign(text, day, key)}
				}
				g, err := c.learnRelease(at(t, suiteURL), files)
				if err != nil {
					t.Fatal(err)
				}
				dir := suiteURL + "/main/binary-amd64/"
				url := dir + "by-hash/" + list + "/" + sum
				e := c.wantContent(t, url, index, signed)
				if !e.Index || e.Release != g.ID || e.Suite.String() != suiteURL {
					t.Errorf("%+v", e)
				}
				want := []Location{at(t, url), at(t, dir+"by-hash/SHA256/"+digest.Of(index).String()), at(t, dir+"Packages")}
				if list == "SHA256" {
					want = want[1:]
				}
				if got := c.Mirrors(e); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("mirrors\n%v, want\n%v", got, want)
				}
				if err := c.LearnIndex(t.Context(), e, bytes.NewReader(index)); err != nil {
					t.Fatal(err)
				}
				c.wantContent(t, archiveURL+"/pool/a.deb", []byte("abc"), signed)
				again := reopen(t, c)
				if e := again.wantContent(t, url, index, signed); e.Index {
					t.Error("it is still wanted")
				}
				if len(c.names(e.Digest)) != 1 {
					t.Errorf("names %v", c.names(e.Digest))
				}

				// Another suite, another directory, another spelling.
				c.wantContent(t, suiteURL+"/main/by-hash/"+list+"/"+sums(other)[list], other, signed)
				if list != "SHA256" {
					c.wantUnknown(t, strings.Replace(url, "stable", "other", 1))
					c.wantUnknown(t, strings.Replace(url, "amd64", "i386", 1))
				}
				c.wantUnknown(t, dir+"by-hash/"+list+"/"+strings.ToUpper(sum))
				c.wantUnknown(t, url+"0")
			})
		}
	}
}

// A client that holds an earlier generation gets the index of that one, and the
// rows of a generation go with it.
func TestByHashOfEarlierGeneration(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	c.bounds.past = 0
	dir := at(t, suiteURL)
	url := func(data []byte) string {
		return suiteURL + "/main/binary-amd64/by-hash/SHA512/" + sums(data)["SHA512"]
	}
	var all [][]byte
	for i := range 5 {
		data := fmt.Appendf(nil, "Package: a\nVersion: %d\n", i)
		all = append(all, data)
		text := listsBy(byHashHead, map[string][]byte{"main/binary-amd64/Packages": data}, "SHA256", "SHA512")
		if _, err := c.learnRelease(dir, ReleaseFiles{Release: text}); err != nil {
			t.Fatal(err)
		}
	}
	c.sweep(t.Context())
	for i, data := range all {
		if i < len(all)-1-maxEarlier {
			c.wantUnknown(t, url(data))
		} else {
			c.wantContent(t, url(data), data, true)
		}
	}
	if n := countKeys(t, c, keyPath); n != 2*(1+maxEarlier) {
		t.Errorf("%d rows by path, want two a generation", n)
	}
	// What is held of the former generation is looked for by its own name.
	some, err := c.Successors(dir, func(digest.Digest) bool { return true })
	if err != nil || len(some) != 1 || some[0].Location.Name() != "Packages" {
		t.Errorf("successors %+v, %v", some, err)
	}
}

// A Release that was learned by an earlier version has no names by other hashes,
// until it is learned again.
func TestByHashOfEarlierVersion(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	index := []byte(onePackage)
	text := listsBy(byHashHead, map[string][]byte{"main/binary-amd64/Packages": index}, "SHA256", "SHA512")
	dirs := []Location{at(t, suiteURL), at(t, mirrorURL+"/dists/stable")}
	check := func(dir Location) *CheckedRelease {
		r, err := c.CheckRelease(dir, ReleaseFiles{Release: text})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	adopt := func(r *CheckedRelease) {
		t.Helper()
		if _, err := c.Adopt(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range dirs {
		r := check(dir)
		r.hashes = nil
		adopt(r)
	}
	if err := c.LearnIndex(t.Context(), c.resolveURL(t, suiteURL+"/main/binary-amd64/Packages"), bytes.NewReader(index)); err != nil {
		t.Fatal(err)
	}
	name := "/main/binary-amd64/by-hash/SHA512/" + sums(index)["SHA512"]
	c.wantUnknown(t, suiteURL+name)
	adopt(check(dirs[0]))
	for range 2 { // and after a restart
		for _, dir := range dirs {
			if e := c.resolveURL(t, dir.String()+name); e.Kind != Content || e.Index || e.Suite != dir {
				t.Errorf("%+v", e)
			}
		}
		if e := c.resolveURL(t, archiveURL+"/pool/a.deb"); e.Kind != Content {
			t.Errorf("what was learned is gone: %+v", e)
		}
		c = reopen(t, c)
	}
	before := countRows(t, c)
	adopt(check(dirs[1]))
	c.sweep(t.Context())
	// Two names of the index by path, one by digest; the package by both.
	if after := countRows(t, c); after != 5 || before < after {
		t.Errorf("%d rows, then %d", before, after)
	}
}

// A Release that offers no by-hash has no names there, nor one that lists by
// SHA-512 only, which says so.
func TestNoNamesByHash(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"main/binary-amd64/Packages": []byte(onePackage)}
	url := suiteURL + "/main/binary-amd64/by-hash/SHA512/" + sums([]byte(onePackage))["SHA512"]
	for _, tc := range []struct {
		text []byte
		why  string
	}{
		{listsBy(strings.Replace(byHashHead, "yes", "no", 1), files, "SHA256", "SHA512"), ""},
		{listsBy(byHashHead, files, "SHA512"), "SHA-512 but not by SHA-256"},
		{listsBy(byHashHead, files, "MD5Sum", "SHA512"), "SHA-512 but not by SHA-256"},
		{listsBy(byHashHead, files, "MD5Sum", "SHA1"), "MD5 or SHA-1 only"},
	} {
		c := trusting(t)
		g, err := c.learnRelease(at(t, suiteURL), ReleaseFiles{Release: tc.text})
		if err != nil || g.Signed != (tc.why == "") || !strings.Contains(g.Why, tc.why) {
			t.Errorf("%+v, %v, want %q", g, err, tc.why)
		}
		c.wantUnknown(t, url)
		if g, _ := reopen(t, c).Generation(at(t, suiteURL), digest.Digest{}); !strings.Contains(g.Why, tc.why) {
			t.Errorf("after a restart: %q, want %q", g.Why, tc.why)
		}
	}
}
