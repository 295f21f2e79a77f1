package aptest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"
)

// built is the modification time of everything inside a package, fixed so that
// the same package has the same bytes in every run.
var built = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

type member struct {
	name string
	data []byte
}

// arFile writes a common-format ar archive (deb(5)): a magic line, then for
// each member a header of 60 bytes and the data, padded to an even length.
func arFile(members ...member) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, built.Unix(), 0, 0, 0o100644, len(m.data))
		b.Write(m.data)
		if len(m.data)%2 != 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// tarFile writes the files under prefix, which ends in a slash, with an entry
// for each directory on the way, since dpkg makes no parents by itself.
func tarFile(prefix string, files map[string][]byte) []byte {
	entries := map[string][]byte{prefix: nil}
	for name, data := range files {
		entries[prefix+name] = data
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			entries[prefix+dir+"/"] = nil
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(entries[name])), ModTime: built, Uname: "root", Gname: "root", Format: tar.FormatGNU}
		if name[len(name)-1] == '/' {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		must("writing a tar file", w.WriteHeader(h))
		_, err := w.Write(entries[name])
		must("writing a tar file", err)
	}
	must("writing a tar file", w.Close())
	return b.Bytes()
}
