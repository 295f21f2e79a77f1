package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// chartDir is where the chart is, from the root of the tree.
const chartDir = "deploy/helm/millpond"

// chartVersion matches the two versions in Chart.yaml: the chart's and the program's.
var chartVersion = regexp.MustCompile(`(?m)^(version|appVersion): *"?([^"\n]*)"?$`)

// packageChart makes the archive of the chart, of the files that are in git: what `helm
// package` makes, without the time.
func (r *release) packageChart() error {
	list, err := output(r.root, "git", "ls-files", "--", chartDir)
	if err != nil {
		return err
	}
	files := strings.Split(list, "\n")
	// Chart.yaml comes first, as Helm writes it.
	slices.SortFunc(files, func(a, b string) int {
		if first := path.Join(chartDir, "Chart.yaml"); a == first || b == first {
			return strings.Compare(fmt.Sprint(a != first), fmt.Sprint(b != first))
		}
		return strings.Compare(a, b)
	})
	var all []entry
	for _, name := range files {
		rel, err := filepath.Rel(chartDir, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return err
		}
		if rel == "Chart.yaml" {
			if data, err = r.stampChart(data); err != nil {
				return err
			}
		}
		all = append(all, entry{name: path.Join("millpond", filepath.ToSlash(rel)), kind: tar.TypeReg, data: data})
	}
	var b bytes.Buffer
	if err := writeTar(&b, all, r.version.time); err != nil {
		return err
	}
	data, err := compressed(b.Bytes())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, "millpond-"+r.version.number+".tgz"), data, 0o644)
}

// stampChart puts the version into Chart.yaml. In a release it must be there already:
// whoever installs the chart from the tree gets the image that belongs to it.
func (r *release) stampChart(data []byte) ([]byte, error) {
	found := chartVersion.FindAllSubmatch(data, -1)
	if len(found) != 2 {
		return nil, fmt.Errorf("%s/Chart.yaml has %d lines of version and appVersion, not two", chartDir, len(found))
	}
	number, _, dev := strings.Cut(r.version.number, "+")
	for _, m := range found {
		if !dev && string(m[2]) != number {
			return nil, fmt.Errorf("%s/Chart.yaml: %s is %s, and CHANGELOG.md makes this %s: set both to that", chartDir, m[1], m[2], number)
		}
	}
	return chartVersion.ReplaceAllFunc(data, func(line []byte) []byte {
		name, value := "version", r.version.number
		if bytes.HasPrefix(line, []byte("appVersion")) {
			name, value = "appVersion", r.version.tag() // of the image, and a label's value
		}
		return fmt.Appendf(nil, "%s: %q", name, value)
	}), nil
}
