package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a part of the programs that others wrote.
type module struct {
	Path, Version, Dir string
}

// noticeFile matches the files with which authors say under which terms they publish.
var noticeFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$`)

// modules lists what the programs contain, in order.
func (r *release) modules() ([]module, error) {
	args := []string{"list", "-mod=readonly", "-m", "-json"}
	var all []string
	for _, p := range r.programs {
		for _, dep := range p.info.Deps {
			if dep.Replace != nil {
				return nil, fmt.Errorf("module %s is replaced by %s: a release consists of what go.mod requires", dep.Path, dep.Replace.Path)
			}
			all = append(all, dep.Path)
		}
	}
	slices.Sort(all)
	out, err := outputWith([]string{"GOFLAGS=", "GOWORK=off"}, r.root, "go", append(args, slices.Compact(all)...)...)
	if err != nil {
		return nil, err
	}
	var found []module
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var m module
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		found = append(found, m)
	}
}

// collectNotices joins the licences of all that the programs contain, which most of
// them want to go with copies.
func (r *release) collectNotices() error {
	goroot, err := output(r.root, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	all, err := r.modules()
	if err != nil {
		return err
	}
	all = append([]module{{"Go's standard library and runtime", r.programs[0].info.GoVersion, goroot}}, all...)
	var b bytes.Buffer
	b.WriteString("The program contains the following work of others, under these terms.\n")
	for _, m := range all {
		texts, err := notices(m.Dir)
		if err != nil {
			return err
		}
		if len(texts) == 0 {
			return fmt.Errorf("module %s %s has no licence in %s: find out under which terms it may be given to others", m.Path, m.Version, m.Dir)
		}
		fmt.Fprintf(&b, "\n\n==== %s %s ====\n\n%s", m.Path, m.Version, strings.Join(texts, "\n\n"))
	}
	page, err := os.ReadFile(filepath.Join(r.root, "web/public/licenses.txt"))
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n\n==== The dashboard ====\n\n%s", page)
	r.notices = b.Bytes()
	return nil
}

// notices reads the licences in a module's directory.
func notices(dir string) (texts []string, err error) {
	files, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !noticeFile.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, strings.TrimSpace(string(text))+"\n")
	}
	return texts, nil
}
