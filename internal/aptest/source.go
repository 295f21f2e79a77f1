package aptest

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Source describes a source package, built as format 3.0 (quilt). Only Name and
// Version are needed, the latter with a Debian revision ("1.0-1").
type Source struct {
	Name, Version string
	Suite         string            // the archive's first suite if empty
	Component     string            // the suite's first component if empty
	Section       string            // "misc" if empty
	Files         map[string][]byte // the upstream tree; a README if nil
	SignedBy      *Key              // signs the .dsc, if set
}

type source struct {
	Source
	fields string // of the .dsc
	files  []File // the .dsc first
}

// AddSource puts a source package in the archive and returns its files: .dsc,
// .orig.tar.gz, .debian.tar.xz. The same name, version and suite are replaced.
func (a *Archive) AddSource(src Source) []File {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.suite(src.Suite)
	setDefault(&src.Section, "misc")
	dir := s.poolDir(&src.Component, src.Name)
	built := src.build(dir)
	s.sources = slices.DeleteFunc(s.sources, func(o source) bool { return o.files[0].Path == built.files[0].Path })
	s.sources = append(s.sources, built)
	slices.SortFunc(s.sources, func(x, y source) int { return strings.Compare(x.files[0].Path, y.files[0].Path) })
	return slices.Clone(built.files)
}

func (src Source) build(dir string) source {
	version := withoutEpoch(src.Version)
	dash := strings.LastIndexByte(version, '-')
	if dash < 0 {
		panic("aptest: source version " + src.Version + " has no Debian revision")
	}
	upstream := version[:dash]
	if src.Files == nil {
		src.Files = map[string][]byte{"README": []byte("Nothing to build.\n")}
	}
	at := func(suffix string) string { return path.Join(dir, src.Name+"_"+suffix) }
	parts := []File{
		{at(upstream + ".orig.tar.gz"), compress("gz", tarFile(src.Name+"-"+upstream+"/", src.Files))},
		{at(version + ".debian.tar.xz"), compress("xz", tarFile("debian/", src.packaging()))},
	}
	fields := fmt.Sprintf("Format: 3.0 (quilt)\nSource: %s\nBinary: %s\nArchitecture: all\nVersion: %s\nMaintainer: %s\nStandards-Version: 4.6.2\nPackage-List:\n %s deb %s optional arch=all\n",
		src.Name, src.Name, src.Version, maintainer, src.Name, src.Section)
	dsc := []byte(fields + checksums(parts))
	if src.SignedBy != nil {
		dsc = Clearsign(dsc, built, src.SignedBy)
	}
	return source{src, fields, append([]File{{at(version + ".dsc"), dsc}}, parts...)}
}

// packaging is the debian directory.
func (src Source) packaging() map[string][]byte {
	return map[string][]byte{
		"source/format": []byte("3.0 (quilt)\n"),
		"control": fmt.Appendf(nil, "Source: %s\nSection: %s\nPriority: optional\nMaintainer: %s\nStandards-Version: 4.6.2\n\nPackage: %s\nArchitecture: all\nDescription: test package\n",
			src.Name, src.Section, maintainer, src.Name),
		"changelog": fmt.Appendf(nil, "%s (%s) stable; urgency=medium\n\n  * Made for a test.\n\n -- %s  %s\n",
			src.Name, src.Version, maintainer, built.Format("Mon, 02 Jan 2006 15:04:05 -0700")),
		"rules": []byte("#!/usr/bin/make -f\n%:\n\ttrue\n"),
	}
}

// stanza is the Sources entry (deb-src-index): the .dsc's fields with the name
// changed, and the checksums of the .dsc too.
func (src source) stanza() string {
	fields := strings.Replace(src.fields, "Source: ", "Package: ", 1)
	return fields + checksums(src.files) + fmt.Sprintf("Directory: %s\nPriority: optional\nSection: %s\n", path.Dir(src.files[0].Path), src.Section)
}

func checksums(files []File) string {
	var b strings.Builder
	list := func(field string, sum func([]byte) string) {
		b.WriteString(field + ":\n")
		for _, f := range files {
			fmt.Fprintf(&b, " %s %d %s\n", sum(f.Data), len(f.Data), path.Base(f.Path))
		}
	}
	list("Files", md5Hex)
	list("Checksums-Sha1", sha1Hex)
	list("Checksums-Sha256", sha256Hex)
	return b.String()
}

func md5Hex(b []byte) string    { return fmt.Sprintf("%x", md5.Sum(b)) }
func sha1Hex(b []byte) string   { return fmt.Sprintf("%x", sha1.Sum(b)) }
func sha256Hex(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
