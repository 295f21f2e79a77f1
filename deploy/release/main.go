// Command release makes what is published of a version: static programs, Debian
// packages, an OCI image for all processors, the chart, and what lets others check
// these: checksums, a bill of materials (SPDX), provenance (SLSA) and a signature.
//
// The same commit and toolchain give the same bytes, wherever and whenever it runs:
// times are SOURCE_DATE_EPOCH, or the commit's; names, modes and orders are fixed. The
// version is the newest one in CHANGELOG.md, see version.go. `make release` runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// options are what the release is told.
type options struct {
	root       string // of the tree
	out        string // gets a directory named by the version
	trust      string // a root with the certificates and keys that the image trusts
	targets    []target
	maintainer string // of the Debian package
	key        string // a file with an OpenPGP key; "": nothing is signed
	tag        string // of the commit; "": none
}

func main() {
	var o options
	var arches string
	flag.StringVar(&o.root, "root", ".", "root of the tree")
	flag.StringVar(&o.out, "out", "bin/release", "directory that gets one named by the version")
	flag.StringVar(&o.trust, "trust", "bin/trust", "directory with what the image trusts, from deploy/release/trust")
	flag.StringVar(&arches, "arch", strings.Join(names(targets), ","), "processors, as Debian names them")
	flag.StringVar(&o.maintainer, "maintainer", "", "name <address> of who publishes the Debian package")
	flag.StringVar(&o.key, "key", "", "file with the armored OpenPGP key that signs the checksums")
	flag.StringVar(&o.tag, "tag", "", "tag of the release, which must be v and the version")
	flag.Parse()
	var err error
	if o.targets, err = parseTargets(arches); err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run makes the release. Everything is made in a directory beside the final one, which
// thus is complete or not there.
func run(o options) error {
	v, err := readVersion(o.root, o.tag)
	if err != nil {
		return err
	}
	if o.maintainer == "" {
		// Whoever publishes the package is its maintainer, and says so.
		o.maintainer = "millpond maintainers <maintainers@millpond.invalid>"
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	work, done, err := begin(o.out)
	if err != nil {
		return err
	}
	defer done()
	r := &release{options: o, version: v, work: filepath.Join(work, "work"), dir: filepath.Join(work, "artefacts")}
	for _, dir := range []string{r.work, r.dir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, step := range []func() error{
		r.build, r.collectNotices, r.writeManual, r.packageDebs, r.writeImage, r.packageChart,
		r.writeNotes, r.writeBill, r.writeProvenance, r.writeSums, r.sign,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	final := filepath.Join(o.out, v.number)
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	fmt.Println(final)
	return os.Rename(r.dir, final)
}

// begin makes the directory in which a release is made, and removes those of runs that
// were interrupted: what is below -out is published. done removes it again.
func begin(out string) (work string, done func(), err error) {
	d, err := os.Open(out)
	if err != nil {
		return "", nil, err
	}
	// The lock ends with its process, however that ends.
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = d.Close() // the other error is the matter
		return "", nil, fmt.Errorf("locking %s: %w: another run makes a release there; wait for it, or give another -out", out, err)
	}
	work = filepath.Join(out, "unfinished")
	done = func() {
		_ = os.RemoveAll(work) // the next run does it again
		_ = d.Close()
	}
	left, err := filepath.Glob(filepath.Join(out, "unfinished*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err == nil {
		err = os.Mkdir(work, 0o755)
	}
	if err != nil {
		done()
		return "", nil, err
	}
	return work, done, nil
}

// release is one that is being made.
type release struct {
	options
	version version
	work    string // what is not published
	dir     string // what is
	packing string // how packages are compressed; "": as they are published

	programs []program
	notices  []byte // licences of what the programs contain
	manual   []byte // the man page
}
