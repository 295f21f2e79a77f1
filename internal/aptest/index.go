package aptest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// indices makes what a suite's directory holds beside its head: the files that
// Release lists, and the patches that only Packages.diff/Index does.
func (s *suite) indices(t time.Time) (all []listed, unlisted []File) {
	for _, c := range s.Components {
		for _, arch := range append([]string{"all"}, s.Architectures...) {
			for _, udeb := range []bool{false, true} {
				dir := path.Join(c, "binary-"+arch)
				if udeb {
					dir = path.Join(c, "debian-installer/binary-"+arch)
				}
				plain := s.packages(s.binariesOf(c, arch, udeb), true)
				name := path.Join(dir, "Packages")
				all = append(all, s.indexed(name, plain)...)
				if udeb {
					continue
				}
				all = append(all, listed{File: File{path.Join(dir, "Release"), s.smallRelease(c, arch)}})
				if !s.NoPDiffs {
					index, patches := s.diff(name, plain, t)
					all = append(all, index...)
					unlisted = append(unlisted, patches...)
				}
			}
			all = append(all, s.contents(c, arch)...)
		}
		all = append(all, s.indexed(path.Join(c, "source/Sources"), s.sourcesFile(s.sourcesOf(c)))...)
		all = append(all, s.indexed(path.Join(c, "i18n/Translation-en"), s.translation(c))...)
		all = append(all, s.others(c)...)
	}
	return all, unlisted
}

// indexed lists the plain form and each compressed one; the plain form exists
// only if the suite asks for it.
func (s *suite) indexed(name string, plain []byte) []listed {
	all := []listed{{File{name, plain}, !slices.Contains(s.Compressions, "")}}
	for _, ext := range s.Compressions {
		if ext != "" {
			all = append(all, listed{File: File{name + "." + ext, compress(ext, plain)}})
		}
	}
	return all
}

// binariesOf returns the packages of one index; "all" packages stand in that of
// every architecture.
func (s *suite) binariesOf(component, arch string, udeb bool) []binary {
	var some []binary
	for _, b := range s.binaries {
		if b.Component == component && b.Udeb == udeb && (b.Arch == arch || b.Arch == "all") {
			some = append(some, b)
		}
	}
	return some
}

func (s *suite) sourcesOf(component string) []source {
	var some []source
	for _, src := range s.sources {
		if src.Component == component {
			some = append(some, src)
		}
	}
	return some
}

// packages writes a Packages file. With a Translation file beside it, it has
// the synopsis and the sum of the description; else the description itself.
func (s *suite) packages(binaries []binary, translated bool) []byte {
	var stanzas []string
	for _, p := range binaries {
		text := p.control(p.long())
		if translated {
			text = p.control(p.synopsis()) + "Description-md5: " + p.descriptionMD5() + "\n"
		}
		text += fmt.Sprintf("Filename: %s\nSize: %d\n", s.Filename(p.Path), len(p.Data))
		for _, hash := range s.Hashes {
			field := strings.Replace(hash, "MD5Sum", "MD5sum", 1)
			text += fmt.Sprintf("%s: %s\n", field, sum(hash, p.Data))
		}
		stanzas = append(stanzas, text+"\n")
	}
	return []byte(strings.Join(stanzas, ""))
}

func (s *suite) sourcesFile(sources []source) []byte {
	var b strings.Builder
	for _, src := range sources {
		b.WriteString(src.stanza() + "\n")
	}
	return []byte(b.String())
}

func (s *suite) translation(component string) []byte {
	stanzas := map[string]string{}
	for _, b := range s.binaries {
		if b.Component == component {
			stanzas[b.Name+b.descriptionMD5()] = fmt.Sprintf("Package: %s\nDescription-md5: %s\nDescription-en: %s\n\n", b.Name, b.descriptionMD5(), b.long())
		}
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(stanzas)) {
		b.WriteString(stanzas[key])
	}
	return []byte(b.String())
}

// contents makes the table from installed file to package, gzip only.
func (s *suite) contents(component, arch string) []listed {
	var lines []string
	for _, b := range s.binaries {
		if b.Component != component || b.Arch != arch || b.Udeb {
			continue
		}
		for name := range b.Files {
			lines = append(lines, fmt.Sprintf("%-55s %s/%s\n", name, b.Section, b.Name))
		}
	}
	slices.Sort(lines)
	plain := []byte(strings.Join(lines, ""))
	name := path.Join(component, "Contents-"+arch)
	return []listed{{File{name, plain}, true}, {File{name + ".gz", compress("gz", plain)}, false}}
}

// smallRelease is the file Release in an architecture's directory: content that
// the suite's Release lists, and not a head, whatever its name.
func (s *suite) smallRelease(component, arch string) []byte {
	return fmt.Appendf(nil, "Archive: %s\nOrigin: Test\nLabel: Test\nComponent: %s\nArchitecture: %s\n", s.Name, component, arch)
}

// others makes files in the manner of AppStream data, command-not-found tables
// and installer images.
func (s *suite) others(component string) []listed {
	var all []listed
	arch := s.Architectures[0]
	add := func(name string, data []byte) {
		all = append(all, listed{File: File{path.Join(component, name), data}})
	}
	add("dep11/Components-"+arch+".yml.gz", compress("gz", []byte("---\nFile: DEP-11\nVersion: '1.0'\nOrigin: test-"+component+"\n")))
	add("dep11/icons-48x48.tar.gz", compress("gz", tarFile("./", nil)))
	add("cnf/Commands-"+arch+".xz", compress("xz", []byte("suite: "+s.Name+"\ncomponent: "+component+"\narch: "+arch+"\n")))
	images := "installer-" + arch + "/current/images/"
	image := make([]byte, 20000)
	_, _ = seeded("installer " + arch).Read(image)
	add(images+"netboot/mini.iso", image)
	add(images+"SHA256SUMS", []byte(sha256Hex(image)+"  ./netboot/mini.iso\n"))
	return all
}
