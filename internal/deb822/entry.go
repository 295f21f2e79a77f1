package deb822

import (
	"bytes"
	"encoding/hex"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"millpond/internal/digest"
)

const maxPath = 1024 // bytes; the longest in Debian have about 200

// cleanPath returns the clean form of a path, nil if it is none that an archive
// may list. apt appends a path to the URL of the archive, whatever it begins
// with, so that an absolute one is relative too. A path that ends in a slash, or
// in the element "." or "..", names no file, one that climbs higher may lead out
// of the archive, and one that begins with a blank could not be listed by
// itself.
func cleanPath(b []byte) []byte {
	b = bytes.TrimLeft(b, "/")
	for bytes.HasPrefix(b, []byte("./")) {
		b = bytes.TrimLeft(b[2:], "/")
	}
	if len(b) == 0 || len(b) > maxPath || b[0] == ' ' || b[len(b)-1] == '/' {
		return nil
	}
	// Nearly all paths are clean already; only those with an empty or dotted
	// element are worth an allocation.
	dotted, ascii := b[0] == '.', true
	for i, c := range b {
		switch {
		case c < ' ' || c == 0x7f || c == '\\':
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '/' && (b[i+1] == '/' || b[i+1] == '.'):
			dotted = true
		}
	}
	if !ascii && !utf8.Valid(b) {
		return nil
	}
	if !dotted {
		return b
	}
	name := path.Base(string(b))
	clean := path.Clean(string(b))
	if name == "." || name == ".." || clean == ".." || strings.HasPrefix(clean, "../") {
		return nil
	}
	return []byte(clean)
}

// parseDigest reads 64 hexadecimal digits. It differs from digest.Parse in
// that it allocates nothing, not even for an error.
func parseDigest(b []byte) (d digest.Digest, ok bool) {
	if len(b) != hex.EncodedLen(digest.Size) {
		return d, false
	}
	if _, err := hex.Decode(d[:], b); err != nil {
		return digest.Digest{}, false
	}
	return d, !d.IsZero()
}

func parseSize(b []byte) (int64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	return int64(n), err == nil
}

// listed is an entry of a list of files: "digest size name".
type listed struct {
	digest digest.Digest
	size   int64
	name   []byte // as listed
}

func parseListed(line []byte) (e listed, ok bool) {
	sum, rest := word(line)
	size, rest := word(rest)
	name, rest := word(rest)
	if len(name) == 0 || len(rest) > 0 {
		return e, false
	}
	e.name = name
	if e.digest, ok = parseDigest(sum); !ok {
		return e, false
	}
	e.size, ok = parseSize(size)
	return e, ok
}

// file returns the file of an entry whose name is a path of its own.
func (e listed) file() (File, bool) {
	p := cleanPath(e.name)
	return File{Path: string(p), Size: e.size, Digest: e.digest}, len(p) > 0
}

// word cuts the first word off a trimmed line.
func word(b []byte) (first, rest []byte) {
	i := bytes.IndexAny(b, " \t")
	if i < 0 {
		return b, nil
	}
	return b[:i], trim(b[i:])
}
