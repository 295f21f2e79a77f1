package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

// packed is a file of the Debian package.
type packed struct {
	name string
	mode os.FileMode
	kind string // as nfpm names it; "": an ordinary file
	data []byte // nil: what is at from
	from string
}

// packageDebs makes a Debian package of each program.
func (r *release) packageDebs() error {
	for _, p := range r.programs {
		all, err := r.packed(p)
		if err != nil {
			return err
		}
		if err := r.packageDeb(p, all); err != nil {
			return fmt.Errorf("the Debian package for %s: %w", p.debian, err)
		}
	}
	return nil
}

// debian is a file of the directory debian.
func (r *release) debian(name string) string {
	return filepath.Join(r.root, "deploy/release/debian", name)
}

// packed lists what is in a package.
func (r *release) packed(p program) ([]packed, error) {
	changes, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	const doc = "/usr/share/doc/millpond/"
	all := []packed{
		{name: "/usr/bin/millpond", mode: 0o755, from: p.path},
		{name: "/usr/lib/systemd/system/millpond.service", mode: 0o644, from: r.debian("millpond.service")},
		{name: "/usr/share/lintian/overrides/millpond", mode: 0o644, from: r.debian("lintian-overrides")},
		{name: doc + "copyright", mode: 0o644, from: r.debian("copyright")},
		// It may come to have the admin token in it.
		{name: "/etc/default/millpond", mode: 0o640, kind: files.TypeConfig, from: r.debian("millpond.default")},
	}
	for name, data := range map[string][]byte{
		"/usr/share/man/man1/millpond.1.gz": r.manual,
		doc + "changelog.gz":                changes,
		doc + "changelog.Debian.gz":         r.debianChangelog(),
		doc + "third-party-notices.gz":      r.notices,
	} {
		if data, err = compressed(data); err != nil {
			return nil, err
		}
		all = append(all, packed{name: name, mode: 0o644, data: data})
	}
	return all, nil // nfpm sorts them
}

// debianVersion is the version with the package's own behind it.
func (r *release) debianVersion() string { return r.version.number + "-1" }

// debianChangelog says of the package what changed since the one before: the version of
// the program, whose own changelog is beside it.
func (r *release) debianChangelog() []byte {
	return fmt.Appendf(nil, "millpond (%s) unstable; urgency=medium\n\n  * Version %s, see changelog.gz.\n\n -- %s  %s\n",
		r.debianVersion(), r.version.number, r.maintainer, r.version.time.Format(time.RFC1123Z))
}

// packageDeb writes a package.
func (r *release) packageDeb(p program, all []packed) error {
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "millpond", Arch: p.debian, Version: r.debianVersion(), VersionSchema: "none",
		Section: "net", Priority: "optional", Maintainer: r.maintainer,
		Description: "apt proxy for a site that shares what it holds with others\n" + description,
		MTime:       r.version.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Depends: []string{"adduser"},
			// Without certificates there is no https, and without keys nothing is shared.
			Recommends: []string{"ca-certificates", "debian-archive-keyring", "ubuntu-keyring"},
			Scripts: nfpm.Scripts{
				PostInstall: r.debian("postinst"), PreRemove: r.debian("prerm"), PostRemove: r.debian("postrm"),
			},
			Deb: nfpm.Deb{Compression: cmp.Or(r.packing, "xz")},
		},
	})
	for i, f := range all {
		if f.data != nil {
			f.from = filepath.Join(r.work, fmt.Sprintf("packed-%s-%d", p.debian, i))
			if err := os.WriteFile(f.from, f.data, 0o600); err != nil {
				return err
			}
		}
		info.Contents = append(info.Contents, &files.Content{
			Source: f.from, Destination: f.name, Type: f.kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: f.mode, MTime: r.version.time},
		})
	}
	if err := info.Validate(); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := deb.Default.Package(info, &b); err != nil {
		return err
	}
	name := fmt.Sprintf("millpond_%s_%s.deb", r.debianVersion(), p.debian)
	return os.WriteFile(filepath.Join(r.dir, name), b.Bytes(), 0o644)
}

// description is the package's, without the first line.
var description = strings.TrimSpace(`
Clients point apt at the box. It serves what it holds, fetches what it
lacks from other boxes or from the mirror once, gives to other boxes what
it may share, and shows on a page how many bytes the mirror did not have
to send.
`)

// compressed is data as gzip writes it without name and time.
func compressed(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
