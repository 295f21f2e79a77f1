package mirror

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Bounds of MILLPOND_MIRRORS. Each mirror of an archive costs a request for a small
// file now and then, and may cost one for every file that no mirror has.
const (
	maxArchives = 64
	maxMirrors  = 8
)

// Mirrors lists the mirrors of archives. With the zero value each file is requested
// where clients say. It is not changed after ParseMirrors.
type Mirrors struct {
	archives []archive // the deepest directory first
	inOrder  []archive // as they are configured
}

// archive is an archive's directory as clients name it, and at its mirrors.
type archive struct {
	directory
	mirrors []directory
}

// directory is a directory of an HTTP server, with all that is beneath it.
type directory struct {
	scheme, host string // canonical
	port         int
	path         string // clean and decoded; "/" is the whole host
	url          string // without a slash at the end
}

func (d directory) hostport() string { return net.JoinHostPort(d.host, strconv.Itoa(d.port)) }

// ParseMirrors reads entries "http://archive.example.org/debian=http://a.example/debian|https://b.example/debian":
// an archive by the URL that clients use, and its mirrors, which may include that
// URL. The error names every malformed entry and what an entry takes.
func ParseMirrors(entries []string) (Mirrors, error) {
	var m Mirrors
	var faults []error
	for _, entry := range entries {
		a, err := parseArchive(entry)
		if err == nil && slices.ContainsFunc(m.archives, func(b archive) bool { return a.url == b.url }) {
			err = errors.New("the archive has an entry already; put all its mirrors into one, with | between them")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %.300q: %w", entry, err))
		}
		m.archives = append(m.archives, a)
	}
	if len(entries) > maxArchives {
		faults = append(faults, fmt.Errorf("%d archives; want %d at most", len(entries), maxArchives))
	}
	if err := errors.Join(faults...); err != nil {
		return Mirrors{}, err
	}
	m.inOrder = slices.Clone(m.archives)
	slices.SortStableFunc(m.archives, func(a, b archive) int { return len(b.path) - len(a.path) })
	return m, nil
}

func parseArchive(entry string) (archive, error) {
	name, list, ok := strings.Cut(entry, "=")
	if !ok {
		return archive{}, errors.New("want the archive's URL, =, and its mirrors' URLs with | between them")
	}
	var a archive
	var err error
	if a.directory, err = parseDirectory(name); err != nil {
		return archive{}, err
	}
	for text := range strings.SplitSeq(list, "|") {
		d, err := parseDirectory(text)
		switch {
		case err != nil:
			return archive{}, err
		case slices.Contains(a.mirrors, d):
			return archive{}, fmt.Errorf("%s is listed twice", d.url)
		}
		a.mirrors = append(a.mirrors, d)
	}
	if len(a.mirrors) > maxMirrors {
		return archive{}, fmt.Errorf("%d mirrors; want %d at most", len(a.mirrors), maxMirrors)
	}
	return a, nil
}

// parseDirectory reads the URL of a directory.
func parseDirectory(text string) (directory, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	const want = "want http://host/directory or https://host/directory"
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return directory{}, errors.New(want)
	case u.User != nil:
		return directory{}, errors.New(want + ", and the login in MILLPOND_AUTH_FILE")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return directory{}, errors.New(want + ", without a query or fragment")
	}
	host, port, err := parseHost(u.Host)
	if err != nil {
		return directory{}, err
	}
	if port == 0 {
		port = defaultPort(u.Scheme)
	}
	d := directory{scheme: u.Scheme, host: host, port: port, path: path.Clean("/" + u.Path)}
	clean := url.URL{Scheme: d.scheme, Host: meterName(d.scheme, host, port), Path: d.path}
	d.url = strings.TrimSuffix(clean.String(), "/")
	return d, nil
}

// of returns the archive that the file at u is in; ok is false if it is in none
// that has mirrors.
func (m Mirrors) of(u *url.URL) (a *archive, ok bool) {
	if len(m.archives) == 0 {
		return nil, false
	}
	host, port, err := destinationOf(u)
	if err != nil {
		return nil, false
	}
	host = hostKey(host)
	for i := range m.archives {
		if a := &m.archives[i]; a.scheme == u.Scheme && a.host == host && a.port == port && within(a.path, path.Clean("/"+u.Path)) {
			return a, true
		}
	}
	return nil, false
}

// at returns the URL at the mirror d of the file at u in the archive.
func (a *archive) at(d directory, u *url.URL) string {
	rest := u.EscapedPath()
	if a.path != "/" {
		for range strings.Count(a.path, "/") {
			_, rest, _ = strings.Cut(rest[1:], "/")
			rest = "/" + rest
		}
	}
	if u.RawQuery != "" {
		rest += "?" + u.RawQuery
	}
	return d.url + rest
}

// Allow makes the mirrors allowed destinations, since the administrator has named
// them. An archive's own host becomes one only if it is among its mirrors, but its
// files may be asked for whatever its port.
func (p *Policy) Allow(m Mirrors) {
	for _, a := range m.archives {
		p.named.list = append(p.named.list, place{host: a.host, port: a.port, dir: "/"})
		for _, d := range a.mirrors {
			p.mirrors.add(d.host, d.port)
		}
	}
}
