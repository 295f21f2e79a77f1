// Trace replays what the clients of a site download over months, and tells what a box's
// eviction and prefetching are worth.
//
// The archive is two generations of a real one, read from the mirror of this machine's
// apt: Debian bookworm at its last point release, and what bookworm-security and
// bookworm-updates have published since, mirrors having no older generations. Two
// generations tell which packages change, and not how often. Sources that followed
// their upstream, as the kernel and browsers do, are taken to do so every four weeks
// (the kernel's name went from 50 to 56 in twenty); others as often as their revision
// says, which counts the updates in the life of Debian 12 (pairOf). Which packages
// clients have is drawn from a law (popularity.go), by ranks that follow from
// priorities and dependencies (byPopularity).
//
// What a box prefetches is decided by its own Prefetcher, which is told of the requests and
// of each week's generation (planner.go). The other ways are rules of the replay. The store
// is a box's own, with a clock of the trace, and files of a thousandth of their
// size; it needs a temporary directory in memory, or takes much longer. Plain LRU, and the
// cache of the comparison of ways to prefetch, which has room for all, are a list.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"millpond/e2e/internal/machine"
)

func main() {
	svg := flag.String("svg", "", "write the curve of prefetching to this `file`")
	short := flag.Bool("short", false, "replay a small synthetic archive, without a mirror")
	flag.Parse()
	if err := run(os.Stdout, *svg, *short); err != nil {
		fmt.Fprintln(os.Stderr, "trace:", err)
		os.Exit(1)
	}
}

// installedMean is how many packages a client has in the mean: a desktop has some 2,000,
// a server some 500.
const installedMean = 1500

// sites are those whose prefetching is told. The first one is drawn.
var sites = []site{
	{name: "office: 100 clients from 3 images, 1 installed a week", clients: 100, arm: 20, images: 3, installs: 1},
	{name: "build: 100 clients from 3 images, 20 installed a week", clients: 100, arm: 20, images: 3, installs: 20},
	{name: "mixed: 100 clients, each installed by itself, 1 a week", clients: 100, arm: 20, installs: 1},
	{name: "small: 10 clients from 1 image, none installed", clients: 10, images: 1},
	{name: "office, if nothing changes more often than every 20 weeks", clients: 100, arm: 20, images: 3, installs: 1, slow: true},
}

// evictingSite is the one whose eviction is told.
var evictingSite = site{clients: 30, installs: 1}

func run(w io.Writer, svg string, short bool) error {
	a, mean, err := open(w, short)
	if err != nil {
		return err
	}
	curve, err := tellPrefetching(w, a, mean)
	if err != nil {
		return err
	}
	if svg != "" {
		if err := os.WriteFile(svg, drawn(curve), 0o644); err != nil {
			return err
		}
	}
	s := evictingSite
	for _, scan := range []bool{false, true} {
		s.scan = scan
		if err := tellEviction(w, record(a, s, mean, 0)); err != nil {
			return err
		}
	}
	return nil
}

// open returns the archive and how many packages a client has.
func open(w io.Writer, short bool) (*archive, float64, error) {
	if short {
		fmt.Fprintln(w, "a synthetic archive")
		return synthetic(2000), 150, nil
	}
	m, err := machine.Configured()
	if err != nil {
		return nil, 0, err
	}
	var before, after [][]stanza
	for _, arch := range []string{"amd64", "arm64"} {
		now, err := download(m.URI, "bookworm", arch)
		if err != nil {
			return nil, 0, err
		}
		var next []stanza
		for suite, base := range map[string]string{"bookworm-updates": m.URI, "bookworm-security": strings.TrimSuffix(m.URI, "/") + "-security"} {
			more, err := download(base, suite, arch)
			if err != nil {
				return nil, 0, err
			}
			next = append(next, more...)
		}
		before, after = append(before, now), append(after, newest(now, next))
		fmt.Fprintf(w, "%s: %d packages, of which %d change\n", arch, len(now), len(after[len(after)-1]))
	}
	return newArchive(before, after), installedMean, nil
}

// download reads the Packages file of main in a suite.
func download(base, suite, arch string) ([]stanza, error) {
	url := base + "/dists/" + suite + "/main/binary-" + arch + "/Packages.xz"
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading Packages of %s for %s: %s", suite, arch, resp.Status)
	}
	dir, err := os.MkdirTemp("", "trace-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "Packages.xz")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := io.Copy(f, resp.Body); err != nil {
		return nil, fmt.Errorf("reading Packages of %s for %s: %w", suite, arch, err)
	}
	text, err := exec.Command("xz", "-dc", name).Output()
	if err != nil {
		return nil, fmt.Errorf("reading Packages of %s for %s: xz: %w", suite, arch, err)
	}
	return readPackages(strings.NewReader(string(text)))
}
