package carry

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
)

// places says which URL a file of a tree has.
type places struct {
	as    catalog.Location // of the tree's directory
	hasAs bool
}

// ParseBase reads the URL of the archive that a tree is a copy of.
func ParseBase(s string) (catalog.Location, error) {
	l, err := catalog.ParseURL(strings.TrimRight(s, "/") + "/")
	if err == nil && l.Tail != "" && l.Tail != "/" {
		err = fmt.Errorf("it has a query")
	}
	l.Tail = ""
	if err != nil {
		return catalog.Location{}, fmt.Errorf("%q is not the URL of an archive, such as http://archive.example.org/debian: %w", s, err)
	}
	return l, nil
}

// of returns the URL of the file at rel. In trees of several archives the first directory
// that is named like a host tells, as those of apt-mirror and apt-cacher-ng do.
func (p places) of(rel string) (catalog.Location, bool) {
	if p.hasAs {
		return p.as.Join(rel), true
	}
	parts := strings.Split(rel, "/")
	for i, part := range parts[:len(parts)-1] {
		if part == "dists" || part == "pool" {
			break
		}
		if host, ok := hostOf(part); ok {
			scheme := "http"
			if i > 0 && parts[i-1] == "https" {
				scheme = "https"
			}
			l, err := catalog.ParseLocation(scheme, host, (&url.URL{Path: "/" + strings.Join(parts[i+1:], "/")}).EscapedPath())
			return l, err == nil && l.Tail == ""
		}
	}
	return catalog.Location{}, false
}

// hostName is a name with a dot, of which the last label is a word: a version is no host.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_.-]*\.[A-Za-z][A-Za-z0-9-]*$|^\[[0-9a-fA-F:.]+\]$|^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$`)

// colons are how the names of directories have those of hosts with ports.
var colons = strings.NewReplacer("+", ":", "%3a", ":", "%3A", ":")

// hostOf reads the name of a directory as a host.
func hostOf(dir string) (string, bool) {
	host := colons.Replace(dir)
	name, port, hasPort := strings.Cut(host, ":")
	if strings.HasPrefix(host, "[") {
		name, port, hasPort = host, "", false
		if i := strings.LastIndex(host, "]:"); i >= 0 {
			name, port, hasPort = host[:i+1], host[i+2:], true
		}
	}
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") {
		return "", false
	}
	if !hostName.MatchString(name) && !hasPort {
		return "", false
	}
	return host, true
}

// placeOf is where a file is in a directory that was exported: below its host, and that of
// an archive at https below one of that name.
func placeOf(l catalog.Location) string {
	dir := strings.ReplaceAll(l.Host, ":", "+") // not all media take a colon, and apt no percent sign
	if l.Scheme == "https" {
		dir = "https/" + dir
	}
	return dir + l.Path
}

// class is what a file is for an import.
type class uint8

const (
	other class = iota
	releaseFile
	indexFile
	packageFile
)

// classify goes by a file's name and place.
func classify(rel string) class {
	name := path.Base(rel)
	switch name {
	case "InRelease", "Release.gpg":
		return releaseFile
	case "Release":
		// Older tools keep a file of that name beside each index.
		if dir := path.Base(path.Dir(rel)); !strings.HasPrefix(dir, "binary-") && dir != "source" {
			return releaseFile
		}
	}
	if _, ok := deb.ParseFileName(decodeName(name)); ok {
		return packageFile
	}
	stem := (catalog.Location{Path: "/" + name}).Stem()
	switch {
	case strings.HasSuffix(name, ".head"), strings.HasSuffix(name, ".lock"): // apt-cacher-ng's headers of the file beside
		return other
	case strings.Contains("/"+rel, "/dists/"), stem == "Packages", stem == "Sources", strings.Contains(rel, "by-hash/SHA256/"):
		return indexFile
	}
	return other
}

// epoch is what apt puts before a version in the names of /var/cache/apt/archives.
var epoch = regexp.MustCompile(`_[0-9]+%3[aA]`)

// decodeName is the name that a file has in its archive.
func decodeName(name string) string { return epoch.ReplaceAllString(name, "_") }
