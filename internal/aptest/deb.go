package aptest

import (
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Package describes a binary package. Only Name and Version are needed.
type Package struct {
	Name, Version string
	Arch          string // "all" if empty
	Suite         string // the archive's first suite if empty
	Component     string // the suite's first component if empty
	Section       string // "misc" if empty
	Priority      string // "optional" if empty
	Source        string // source package, Name if empty
	Depends       string
	Description   string // synopsis; further lines are the long description
	Fields        string // more control fields, whole lines, as "Multi-Arch: foreign\n"

	// Udeb makes an installer package: a .udeb listed in the component's
	// debian-installer indices.
	Udeb bool

	// Files are the files it installs, by path without a leading slash.
	Files map[string][]byte
	// Size adds a file of that many pseudo-random bytes, fixed by name,
	// version and architecture.
	Size int
	// Compression of control.tar and data.tar: gz, xz, zst or none. If empty,
	// xz up to a Size of 64 KiB and none above, which is quicker and, for
	// random bytes, no larger.
	Compression string
}

const plenty = 64 << 10

func (p Package) withDefaults() Package {
	setDefault(&p.Arch, "all")
	setDefault(&p.Section, "misc")
	setDefault(&p.Priority, "optional")
	setDefault(&p.Source, p.Name)
	setDefault(&p.Description, "test package "+p.Name+"\nMade for a test and good for nothing else.")
	setDefault(&p.Compression, "xz")
	if p.Size > plenty && p.Compression == "xz" {
		p.Compression = "none"
	}
	p.Files = maps.Clone(p.Files)
	if p.Files == nil {
		p.Files = map[string][]byte{}
	}
	p.Files["usr/share/doc/"+p.Name+"/copyright"] = []byte("Public domain.\n")
	if p.Size > 0 {
		data := make([]byte, p.Size)
		_, err := io.ReadFull(seeded(p.Name+"_"+p.Version+"_"+p.Arch), data)
		must("making content", err)
		p.Files["usr/share/"+p.Name+"/data"] = data
	}
	return p
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// control returns the control fields, with description as the last.
func (p Package) control(description string) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	field("Package", p.Name)
	if p.Source != p.Name {
		field("Source", p.Source)
	}
	field("Version", p.Version)
	field("Architecture", p.Arch)
	field("Maintainer", maintainer)
	field("Installed-Size", fmt.Sprint(1+p.Size/1024))
	field("Depends", p.Depends)
	field("Section", p.Section)
	field("Priority", p.Priority)
	b.WriteString(p.Fields)
	field("Description", description)
	return b.String()
}

const maintainer = "Test Archive <archive@example.org>"

// synopsis is the first line of the description, long all of it in the form of
// a control field's value.
func (p Package) synopsis() string { return strings.SplitN(p.Description, "\n", 2)[0] }
func (p Package) long() string {
	return strings.ReplaceAll(strings.TrimRight(p.Description, "\n"), "\n", "\n ")
}

// descriptionMD5 ties a Packages stanza to its Translation stanza.
func (p Package) descriptionMD5() string { return md5Hex([]byte(p.long() + "\n")) }

// deb builds the package file (deb(5), format 2.0).
func (p Package) deb() []byte {
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(p.Files[name]), name)
	}
	control := tarFile("./", map[string][]byte{
		"control": []byte(p.control(p.long())),
		"md5sums": []byte(sums.String()),
	})
	ext := strings.TrimPrefix(p.Compression, "none")
	return arFile(
		member{"debian-binary", []byte("2.0\n")},
		member{"control.tar" + dotted(ext), compress(ext, control)},
		member{"data.tar" + dotted(ext), compress(ext, tarFile("./", p.Files))},
	)
}

// fileName is the name in the pool: the version without its epoch, which a
// file name cannot hold.
func (p Package) fileName() string {
	ext := ".deb"
	if p.Udeb {
		ext = ".udeb"
	}
	return p.Name + "_" + withoutEpoch(p.Version) + "_" + p.Arch + ext
}

func withoutEpoch(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		return rest
	}
	return version
}
