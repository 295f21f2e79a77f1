package catalog

import (
	"bytes"
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
	// Tail is what a request has behind such a path, percent-encoded: the "/" of
	// a directory other than the root, and a query with its "?". No archive
	// lists a name that has one.
	Tail string
}

// ParseLocation takes the parts of a request's URL, the path still
// percent-encoded and with the query, if there is one. It refuses what no
// archive needs and what could mean another file to another program: other
// schemes, fragments, user names, encoded slashes, control characters, a host
// over 255 bytes, a path or a query over 2,048. A ".." is resolved, as every
// server does it (RFC 3986, section 5.2.4).
func ParseLocation(scheme, host, escapedPath string) (Location, error) {
	l := Location{Scheme: strings.ToLower(scheme)}
	if l.Scheme != "http" && l.Scheme != "https" {
		return Location{}, fmt.Errorf("scheme %.20q of an archive: want http or https", scheme)
	}
	var err error
	if l.Host, err = parseHost(l.Scheme, host); err != nil {
		return Location{}, fmt.Errorf("host %.80q of an archive: %w", withoutUser(host), err)
	}
	escaped, query, asks := strings.Cut(escapedPath, "?")
	if l.Path, l.Tail, err = parsePath(escaped); err != nil {
		return Location{}, fmt.Errorf("path %.200q in an archive: %w", escaped, err)
	}
	if asks {
		if query, err = parseQuery(query); err != nil {
			return Location{}, fmt.Errorf("query of an archive: %w", err)
		}
		l.Tail += "?" + query
	}
	return l, nil
}

// ParseURL reads what String wrote.
func ParseURL(url string) (Location, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	i := max(strings.IndexByte(rest, '/'), 0)
	return ParseLocation(scheme, rest[:i], rest[i:])
}

// parseHost returns host in lower case, without the dot of a fully qualified
// name and without the port that scheme implies.
func parseHost(scheme, host string) (string, error) {
	if len(host) > maxHost {
		return "", fmt.Errorf("longer than %d bytes", maxHost)
	}
	if withoutUser(host) != host {
		return "", errors.New("a user name stands before it")
	}
	lower := strings.ToLower(host)
	name, port := lower, ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, ']') {
		name, port = name[:i], name[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", errors.New("the port is no number from 1 to 65535")
		}
		if port[0] == '0' {
			port = strconv.FormatUint(n, 10)
		}
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
	if len(name)+1+len(port) == len(lower) {
		return lower, nil
	}
	return name + ":" + port, nil
}

// withoutUser returns host without what stands before an @: it may be a password.
func withoutUser(host string) string {
	host = strings.ReplaceAll(host, "%40", "@")
	return host[strings.LastIndexByte(host, '@')+1:]
}

// isHostName takes letters, digits, hyphens and dots, and underscores, which
// host names must not have and container networks have all the same.
func isHostName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
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

// parsePath returns the path decoded and clean, and the "/" of a directory.
func parsePath(escaped string) (clean, slash string, err error) {
	switch {
	case len(escaped) > 3*maxPath:
		return "", "", fmt.Errorf("longer than %d bytes", maxPath)
	case !strings.HasPrefix(escaped, "/"):
		return "", "", errors.New("not absolute")
	}
	if isPlainPath(escaped) {
		return escaped, "", nil
	}
	decoded := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		switch c {
		case '#':
			return "", "", errors.New("archives know no fragments")
		case '%':
			if i+2 >= len(escaped) {
				return "", "", errors.New("incomplete percent-encoding")
			}
			n, err := strconv.ParseUint(escaped[i+1:i+3], 16, 8)
			if err != nil {
				return "", "", errors.New("invalid percent-encoding")
			}
			if c = byte(n); c == '/' {
				return "", "", errors.New("encoded slash")
			}
			i += 2
		}
		if c < ' ' || c == 0x7f {
			return "", "", errors.New("control character")
		}
		decoded = append(decoded, c)
	}
	if len(decoded) > maxPath {
		return "", "", fmt.Errorf("longer than %d bytes", maxPath)
	}
	clean = path.Clean(string(decoded))
	last := string(decoded[bytes.LastIndexByte(decoded, '/')+1:])
	if clean != "/" && (last == "" || last == "." || last == "..") {
		slash = "/"
	}
	return clean, slash, nil
}

// isPlainPath reports whether an absolute path stands for itself: there is nothing to decode,
// to clean or to refuse.
func isPlainPath(p string) bool {
	if len(p) > maxPath || !isPlain(p[1:]) {
		return false
	}
	for i := range len(p) {
		if c := p[i]; c < ' ' || c == 0x7f || c == '%' || c == '#' {
			return false
		}
	}
	return true
}

// parseQuery returns query with what may not stand in one (RFC 3986, section
// 3.4) percent-encoded.
func parseQuery(query string) (string, error) {
	if len(query) > maxPath {
		return query, fmt.Errorf("longer than %d bytes", maxPath)
	}
	var b strings.Builder
	for i := range len(query) {
		switch c := query[i]; {
		case c < ' ' || c == 0x7f:
			return query, errors.New("control character")
		case c > '~' || strings.IndexByte(` "#<>\^`+"`"+`{|}`, c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// String returns l as a URL, as a key and for logs, which hide a query themselves:
// RFC 3986 allows the characters of a path segment to stand for themselves, '+' and
// '~' of versions among them; all others are escaped. Requests are sent to URL.
func (l Location) String() string { return l.escape("/-._~!$&'()*+,;=:@", "0123456789ABCDEF") }

// Shown returns l as a URL for those who did not ask for it: what a query says may be
// secret.
func (l Location) Shown() string {
	path, _, asks := strings.Cut(l.String(), "?")
	if asks {
		path += "?xxxxx"
	}
	return path
}

// URL returns the URL to request upstream, escaped as apt escapes it: '+' and
// '~' too (Acquire::URIEncode), since object stores behind some mirrors read a
// bare '+' as a space. Servers must take both for the same file (RFC 3986,
// section 6.2.2.2).
func (l Location) URL() string { return l.escape("/-._!$&'()*,;=:@", "0123456789abcdef") }

// escape returns l as a URL in which letters, digits and the characters of
// plain stand for themselves, and the others are written with the digits hex.
func (l Location) escape(plain, hex string) string {
	var b strings.Builder
	b.Grow(len(l.Scheme) + len("://") + len(l.Host) + len(l.Path) + len(l.Tail))
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
	b.WriteString(l.Tail)
	return b.String()
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// at returns the Location of another path of the same host.
func (l Location) at(path string) Location {
	return Location{Scheme: l.Scheme, Host: l.Host, Path: path}
}

// Dir returns the directory that l is in. The root is in itself.
func (l Location) Dir() Location { return l.at(path.Dir(l.Path)) }

// Name returns the last element of the path, "" for the root.
func (l Location) Name() string { return l.Path[strings.LastIndexByte(l.Path, '/')+1:] }

// Stem returns Name without the suffix of its compression, of those that apt
// reads.
func (l Location) Stem() string { return stem(l.Name()) }

func stem(name string) string {
	switch ext := path.Ext(name); ext {
	case ".gz", ".xz", ".bz2", ".lzma", ".lz4", ".zst":
		return strings.TrimSuffix(name, ext)
	}
	return name
}

// Join returns the Location of rel beneath l. A rel that climbs does not get
// above l.
func (l Location) Join(rel string) Location {
	if isPlain(rel) {
		return l.at(strings.TrimSuffix(l.Path, "/") + "/" + rel)
	}
	return l.at(path.Join(l.Path, path.Clean("/"+rel)))
}

// isPlain reports whether a relative path is surely clean.
func isPlain(rel string) bool {
	if rel == "" || rel[0] == '/' || rel[0] == '.' || rel[len(rel)-1] == '/' {
		return false
	}
	return !strings.Contains(rel, "//") && !strings.Contains(rel, "/.")
}

// SplitSuite splits the directory of a suite into that of its archive and the
// name used in sources.list. ok is false for a flat archive, which has
// no dists: then base is l itself.
func (l Location) SplitSuite() (base Location, name string, ok bool) {
	i := strings.LastIndex(l.Path, "/dists/")
	if i < 0 {
		return l, "", false
	}
	return l.at(l.Path[:max(i, 1)]), l.Path[i+len("/dists/"):], true
}

// SplitPool splits the place of a file in a pool into the directory of its
// archive and the path below the pool. ok is false outside of a pool: then base
// is the file's directory.
func (l Location) SplitPool() (base Location, rel string, ok bool) {
	i := strings.Index(l.Path, "/pool/")
	if i < 0 {
		return l.Dir(), "", false
	}
	return l.at(l.Path[:max(i, 1)]), l.Path[i+len("/pool/"):], true
}

// compare orders by host, path, scheme and tail.
func (l Location) compare(o Location) int {
	return cmp.Or(cmp.Compare(l.Host, o.Host), cmp.Compare(l.Path, o.Path), cmp.Compare(l.Scheme, o.Scheme), cmp.Compare(l.Tail, o.Tail))
}

// Moved is l, which is beneath the directory from, at the same place beneath to.
// Any other location stays.
func (l Location) Moved(from, to Location) Location {
	rel, ok := l.beneath(from)
	if !ok {
		return l
	}
	return to.Join(rel)
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
	for i := len(l.Path); i > 1; {
		i = strings.LastIndexByte(l.Path[:i], '/')
		if !yield(l.at(l.Path[:max(i, 1)]), l.Path[i+1:]) {
			return
		}
	}
}
