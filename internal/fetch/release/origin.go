package release

import (
	"net/url"
	"path"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// From returns the directory, as the same suite at another mirror, that a
// redirector led to for the Release d of the suite in dir: that mirror has its
// indices, the next one that is led to may not. ok is false if there is none.
func (c *Cache) From(dir catalog.Location, d digest.Digest) (from catalog.Location, ok bool) {
	v := c.recordOf(dir, d)
	if v.From == "" {
		return catalog.Location{}, false
	}
	return v.from(dir)
}

// Mirror returns which of the archive's mirrors sent the Release d of the suite in
// dir: that one has its indices, another one may not. "" is not known.
func (c *Cache) Mirror(dir catalog.Location, d digest.Digest) string {
	return c.recordOf(dir, d).Mirror
}

// recordOf returns the record of the Release d of the suite in dir, which came
// without a login; an empty one if there is none.
func (c *Cache) recordOf(dir catalog.Location, d digest.Digest) record {
	s, err := kv.GetJSON[suite](c.names, key(dir, false))
	if d.IsZero() || err != nil {
		return record{} // the archive is asked
	}
	for _, v := range []record{s.InRelease, s.Release} {
		if v.Digest == d {
			return v
		}
	}
	return record{}
}

// from is From, for the record's own file.
func (v record) from(dir catalog.Location) (catalog.Location, bool) {
	u, err := url.Parse(v.From)
	if err != nil || u.RawQuery != "" || u.Host == "" {
		return catalog.Location{}, false
	}
	l, err := catalog.ParseLocation(u.Scheme, u.Host, u.EscapedPath())
	return l.Dir(), err == nil && l.Dir() != dir && (l.Scheme == dir.Scheme || l.Scheme == "https")
}

// cameFrom is the URL that the answer for the file l came from, "" if it is l's
// own or none of a file with that name.
func cameFrom(l catalog.Location, resp *mirror.Response, login mirror.Login) string {
	u, err := url.Parse(resp.URL)
	if login != "" || resp.URL == l.URL() || err != nil || path.Base(u.Path) != l.Name() {
		return ""
	}
	return resp.URL
}

// elsewhere is n at the mirror that its Release came from, v.
func (v record) elsewhere(n catalog.Change) (catalog.Change, bool) {
	dir := n.Now.Suite
	from, ok := v.from(dir)
	if !ok {
		return n, false
	}
	n.Now.Location = n.Now.Location.Moved(dir, from)
	if n.ByHash != (catalog.Location{}) {
		n.ByHash = n.ByHash.Moved(dir, from)
	}
	return n, true
}
