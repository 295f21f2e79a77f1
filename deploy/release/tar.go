package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is a member of a tar archive. What the machine adds, names of users, times and
// modes beyond "may be executed", is not in it.
type entry struct {
	name     string // relative
	kind     byte   // tar.TypeReg, TypeDir or TypeSymlink
	uid, gid int
	program  bool   // may be executed
	link     string // what a symbolic link leads to
	from     string // the file with the data; "": data has it
	data     []byte
}

// entriesBelow lists a file, or what is in a directory, as it is named in an archive, in
// the order of names.
func entriesBelow(root, name string) (all []entry, err error) {
	name = strings.TrimPrefix(name, "/")
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		e := entry{name: path.Join(name, filepath.ToSlash(rel)), from: file}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			e.kind, e.from = tar.TypeDir, ""
		case d.Type() == fs.ModeSymlink:
			e.kind, e.from = tar.TypeSymlink, ""
			if e.link, err = os.Readlink(file); err != nil {
				return err
			}
		case d.Type().IsRegular():
			e.kind, e.program = tar.TypeReg, info.Mode()&0o100 != 0
		default:
			return fmt.Errorf("%s is neither a file, a directory nor a symbolic link", file)
		}
		if e.name != "." {
			all = append(all, e)
		}
		return nil
	})
	return all, err
}

// withParents adds the directories that entries are in and that are not among them.
func withParents(all []entry) []entry {
	has := map[string]bool{".": true}
	for _, e := range all {
		has[e.name] = true
	}
	var more []entry
	for _, e := range all {
		for dir := path.Dir(e.name); !has[dir]; dir = path.Dir(dir) {
			has[dir] = true
			more = append(more, entry{name: dir, kind: tar.TypeDir})
		}
	}
	all = append(more, all...)
	slices.SortStableFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

// writeTar writes an archive whose entries are all of one time.
func writeTar(to io.Writer, all []entry, at time.Time) error {
	w := tar.NewWriter(to)
	for _, e := range all {
		if err := writeEntry(w, e, at); err != nil {
			return err
		}
	}
	return w.Close()
}

func writeEntry(w *tar.Writer, e entry, at time.Time) (err error) {
	h := tar.Header{Typeflag: e.kind, Name: e.name, Linkname: e.link, Uid: e.uid, Gid: e.gid, Mode: 0o644, ModTime: at, Format: tar.FormatUSTAR}
	if e.program {
		h.Mode = 0o755
	}
	if e.kind == tar.TypeDir {
		h.Name, h.Mode = e.name+"/", 0o755
	}
	if e.kind == tar.TypeSymlink {
		h.Mode = 0o777
	}
	if e.from != "" {
		if e.data, err = os.ReadFile(e.from); err != nil {
			return err
		}
	}
	h.Size = int64(len(e.data))
	if err := w.WriteHeader(&h); errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%s: %w", e.name, err)
	} else if err != nil {
		return err
	}
	_, err = w.Write(e.data)
	return err
}
