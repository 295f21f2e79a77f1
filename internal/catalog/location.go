package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
)

// Limits of a Location in bytes. A host name has at most 253 (RFC 1035) and
// the longest paths of real archives are some 300 long.
const (
	maxHost = 255
	maxPath = 2 << 10
)

// Location is where a file lives upstream. It is comparable, and the same file
// of the same host always has the same Location, however a client spelled it.
type Location struct {
	Scheme string // "http" or "https"
	Host   string // lower case, with a port only if it is not the scheme's own
	Path   string // percent-decoded, absolute, clean: no "//", ".", ".." or trailing "/"
}

// ParseLocation takes the parts of a request's URL, the path still
// percent-encoded. It refuses what no archive needs and what could mean
// another file to another program: other schemes, queries, user names,
// encoded slashes, control characters, "..", a host over 255 or a path over
// 2,048 bytes.
func ParseLocation(scheme, host, escapedPath string) (Location, error) {
	l := Location{Scheme: strings.ToLower(scheme)}
	if l.Scheme != "http" && l.Scheme != "https" {
		return Location{}, fmt.Errorf("scheme %.20q of an archive: want http or https", scheme)
	}
	var err error
	if l.Host, err = parseHost(l.Scheme, host); err != nil {
		return Location{}, fmt.Errorf("host %.80q of an archive: %w", host, err)
	}
	if l.Path, err = parsePath(escapedPath); err != nil {
		return Location{}, fmt.Errorf("path %.200q in an archive: %w", escapedPath, err)
	}
	return l, nil
}

// parseHost returns host in lower case, without the dot of a fully qualified
// name and without the port that scheme implies.
func parseHost(scheme, host string) (string, error) {
	if len(host) > maxHost {
		return "", fmt.Errorf("longer than %d bytes", maxHost)
	}
	name, port := strings.ToLower(host), ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, ']') {
		name, port = name[:i], name[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", errors.New("the port is no number from 1 to 65535")
		}
		port = strconv.FormatUint(n, 10)
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		ip := net.ParseIP(strings.TrimSuffix(inner, "]"))
		if !strings.HasSuffix(inner, "]") || ip == nil || !strings.Contains(inner, ":") || ip.To4() != nil {
			return "", errors.New("no IPv6 address in the brackets")
		}
		name = "[" + ip.String() + "]"
	} else {
		name = strings.TrimSuffix(name, ".")
		if !isHostName(name) {
			return "", errors.New("not a host name")
		}
	}
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return name, nil
	}
	return name + ":" + port, nil
}

// isHostName takes letters, digits, hyphens and dots, and underscores, which
// host names must not have and container networks have all the same.
func isHostName(s string) bool {
	for _, label := range strings.Split(s, ".") {
		if label == "" {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func parsePath(escaped string) (string, error) {
	switch {
	case len(escaped) > 3*maxPath:
		return "", fmt.Errorf("longer than %d bytes", maxPath)
	case !strings.HasPrefix(escaped, "/"):
		return "", errors.New("not absolute")
	}
	decoded := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		switch c {
		case '?', '#':
			return "", errors.New("archives know no queries and fragments")
		case '%':
			if i+2 >= len(escaped) {
				return "", errors.New("incomplete percent-encoding")
			}
			n, err := strconv.ParseUint(escaped[i+1:i+3], 16, 8)
			if err != nil {
				return "", errors.New("invalid percent-encoding")
			}
			if c = byte(n); c == '/' {
				return "", errors.New("encoded slash")
			}
			i += 2
		}
		if c < ' ' || c == 0x7f {
			return "", errors.New("control character")
		}
		decoded = append(decoded, c)
	}
	if len(decoded) > maxPath {
		return "", fmt.Errorf("longer than %d bytes", maxPath)
	}
	for segment := range strings.SplitSeq(string(decoded), "/") {
		if segment == ".." {
			return "", errors.New(`".." in it`)
		}
	}
	return path.Clean(string(decoded)), nil
}

// String returns l as a URL, for logs and as a key: RFC 3986 allows the
// characters of a path segment to stand for themselves, '+' and '~' of versions
// among them; all others are escaped. Requests are sent to URL.
func (l Location) String() string { return l.escape("/-._~!$&'()*+,;=:@", "0123456789ABCDEF") }

// URL returns the URL to request upstream, escaped as apt escapes it: '+' and
// '~' too (Acquire::URIEncode), since object stores behind some mirrors read a
// bare '+' as a space. Servers must take both for the same file (RFC 3986,
// section 6.2.2.2).
func (l Location) URL() string { return l.escape("/-._!$&'()*,;=:@", "0123456789abcdef") }

// escape returns l as a URL in which letters, digits and the characters of
// plain stand for themselves, and the others are written with the digits hex.
func (l Location) escape(plain, hex string) string {
	var b strings.Builder
	b.Grow(len(l.Scheme) + len("://") + len(l.Host) + len(l.Path))
	b.WriteString(l.Scheme)
	b.WriteString("://")
	b.WriteString(l.Host)
	for i := range len(l.Path) {
		c := l.Path[i]
		if isAlphanumeric(c) || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// Dir returns the directory that l is in. The root is in itself.
func (l Location) Dir() Location {
	l.Path = path.Dir(l.Path)
	return l
}

// Name returns the last element of the path, "" for the root.
func (l Location) Name() string { return l.Path[strings.LastIndexByte(l.Path, '/')+1:] }

// Join returns the Location of rel beneath l. A rel that climbs does not get
// above l.
func (l Location) Join(rel string) Location {
	l.Path = path.Join(l.Path, path.Clean("/"+rel))
	return l
}

// SplitSuite splits the directory of a suite into that of its archive and the
// name used in sources.list. ok is false for a flat archive, which has
// no dists: then base is l itself.
func (l Location) SplitSuite() (base Location, name string, ok bool) {
	i := strings.LastIndex(l.Path, "/dists/")
	if i < 0 {
		return l, "", false
	}
	base = l
	base.Path = l.Path[:max(i, 1)]
	return base, l.Path[i+len("/dists/"):], true
}

// SplitPool splits the place of a file in a pool into the directory of its
// archive and the path below the pool. ok is false outside of a pool: then base
// is the file's directory.
func (l Location) SplitPool() (base Location, rel string, ok bool) {
	i := strings.Index(l.Path, "/pool/")
	if i < 0 {
		return l.Dir(), "", false
	}
	base = l
	base.Path = l.Path[:max(i, 1)]
	return base, l.Path[i+len("/pool/"):], true
}

// compare orders by host, path and scheme.
func (l Location) compare(o Location) int {
	return cmp.Or(cmp.Compare(l.Host, o.Host), cmp.Compare(l.Path, o.Path), cmp.Compare(l.Scheme, o.Scheme))
}

// beneath returns the path of l relative to dir.
func (l Location) beneath(dir Location) (rel string, ok bool) {
	if l.Scheme != dir.Scheme || l.Host != dir.Host {
		return "", false
	}
	if dir.Path == "/" {
		return l.Path[1:], l.Path != "/"
	}
	rel, ok = strings.CutPrefix(l.Path, dir.Path+"/")
	return rel, ok
}

// parents yields the directories above l, the nearest first and the root last,
// each with the path of l relative to it.
func (l Location) parents(yield func(dir Location, rel string) bool) {
	dir := l
	for i := len(l.Path); i > 1; {
		i = strings.LastIndexByte(l.Path[:i], '/')
		dir.Path = l.Path[:max(i, 1)]
		if !yield(dir, l.Path[i+1:]) {
			return
		}
	}
}
