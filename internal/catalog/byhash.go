package catalog

import (
	"path"
	"strings"

	"millpond/internal/deb822"
	"millpond/internal/digest"
)

// hashLists are the lists of a Release by their names, which the directories in
// by-hash have too, and the length of a hash of each in hexadecimal digits.
var hashLists = map[string]int{"MD5Sum": 32, "SHA1": 40, "SHA256": 64, "SHA512": 128}

// byHash splits the name of a file in by-hash, beside the file that it is another
// name of, into that directory, the list and the hash.
func byHash(l Location) (dir Location, list, sum string, ok bool) {
	i := strings.LastIndex(l.Path, "/by-hash/")
	if i < 0 {
		return Location{}, "", "", false
	}
	dir = l
	dir.Path = l.Path[:max(i, 1)]
	list, sum, ok = strings.Cut(l.Path[i+len("/by-hash/"):], "/")
	// Upper case would be another file at a mirror, which has none such.
	return dir, list, sum, ok && len(sum) == hashLists[list] && strings.Trim(sum, "0123456789abcdef") == ""
}

// byHashName is the name by hash, in the same directory, of a file.
func byHashName(dir, list, sum string) string { return path.Join(dir, "by-hash", list, sum) }

// putHashes writes the names in by-hash, but those by SHA-256, which say it
// themselves. apt asks by the strongest hash of a Release. They are rows by path
// alone, so that they are found but are no further names of a digest.
func (w *writer) putHashes(files []deb822.File, hashes []deb822.Hash) error {
	if len(hashes) == 0 {
		return nil
	}
	listed := make(map[string]deb822.File, len(files))
	for _, f := range files {
		listed[f.Path] = f
	}
	for _, h := range hashes {
		f, ok := listed[h.Path]
		if !ok {
			continue
		}
		if err := w.putPath(row{byHashName(path.Dir(h.Path), h.List, h.Sum), f.Digest, f.Size}); err != nil {
			return err
		}
	}
	return nil
}

// digestOf returns the digest of a file by its name in by-hash: it is the name,
// or a Release above l says which it is.
func (c *Catalog) digestOf(s *state, l Location, pin pinFunc) (d digest.Digest, ok bool, err error) {
	_, list, sum, ok := byHash(l)
	if !ok {
		return digest.Digest{}, false, nil
	}
	if list == "SHA256" {
		d, err := digest.Parse(sum)
		return d, err == nil, nil
	}
	for dir, rel := range l.parents {
		st := s.suites[dir]
		if st == nil {
			continue
		}
		h := hashPath(rel)
		for _, g := range st.order(pin) {
			if f, ok, err := c.rows.get(s.tables[g.Table], rel, h); err != nil || ok {
				return f.digest, ok, err
			}
		}
	}
	return digest.Digest{}, false, nil
}
