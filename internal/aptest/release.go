package aptest

import (
	"crypto/sha512"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// listed is a file that Release lists. Some are listed but not published, as
// the plain forms of indices in Debian.
type listed struct {
	File
	absent bool
}

// publish makes the files of the suite's directory, with paths relative to it.
func (s *suite) publish(t time.Time, keys []*Key) []File {
	var all []listed
	var unlisted []File
	if s.Flat {
		all = s.indexed("Packages", s.packages(s.binaries, false))
		all = append(all, s.indexed("Sources", s.sourcesFile(s.sources))...)
	} else {
		all, unlisted = s.indices(t)
	}
	for _, f := range s.extra {
		all = append(all, listed{File: f})
	}
	slices.SortFunc(all, func(x, y listed) int { return strings.Compare(x.Path, y.Path) })
	files := unlisted
	for _, f := range all {
		if f.absent {
			continue
		}
		if !s.byHash() || !s.ByHashOnly {
			files = append(files, f.File)
		}
		files = append(files, s.hashed(f.File)...)
	}
	if s.NoRelease {
		return files
	}
	return append(files, s.head(s.release(t, all), t, keys)...)
}

func (s *suite) byHash() bool { return !s.NoByHash && len(s.ByHash) > 0 }

// hashed is a file under its names by hash.
func (s *suite) hashed(f File) []File {
	if !s.byHash() {
		return nil
	}
	var files []File
	for _, hash := range s.ByHash {
		files = append(files, File{path.Join(path.Dir(f.Path), "by-hash", hash, sum(hash, f.Data)), f.Data})
	}
	return files
}

// head signs the Release text: one file InRelease and the older pair.
func (s *suite) head(release []byte, t time.Time, keys []*Key) []File {
	files := []File{{"Release", release}}
	if len(keys) == 0 {
		return files
	}
	files = append(files, File{"Release.gpg", Sign(release, t, keys...)})
	if !s.NoInRelease {
		files = append(files, File{"InRelease", Clearsign(release, t, keys...)})
	}
	return files
}

// release writes the Release file (wiki.debian.org/DebianRepository/Format).
func (s *suite) release(t time.Time, all []listed) []byte {
	const date = "Mon, 02 Jan 2006 15:04:05 UTC"
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	field("Origin", "Test")
	field("Label", "Test")
	field("Suite", s.Name)
	field("Codename", s.Codename)
	field("Date", t.Format(date))
	if s.ValidFor != 0 {
		field("Valid-Until", t.Add(s.ValidFor).Format(date))
	}
	if s.byHash() {
		field("Acquire-By-Hash", "yes")
	}
	if !s.Flat {
		// As in Debian: each architecture's Packages has the "all" packages too.
		field("No-Support-for-Architecture-all", "Packages")
		field("Architectures", strings.Join(append([]string{"all"}, s.Architectures...), " "))
		field("Components", strings.Join(s.Components, " "))
	}
	field("Description", "made for a test")
	for _, hash := range s.Hashes {
		b.WriteString(hash + ":\n")
		for _, f := range all {
			fmt.Fprintf(&b, " %s %8d %s\n", sum(hash, f.Data), len(f.Data), f.Path)
		}
	}
	if s.EditRelease != nil {
		return []byte(s.EditRelease(b.String()))
	}
	return []byte(b.String())
}

// sum is a file's hash of that name, in hexadecimal.
func sum(hash string, data []byte) string {
	switch hash {
	case "MD5Sum":
		return md5Hex(data)
	case "SHA1":
		return sha1Hex(data)
	case "SHA256":
		return sha256Hex(data)
	case "SHA512":
		return fmt.Sprintf("%x", sha512.Sum512(data))
	}
	panic("aptest: no hash named " + hash)
}
