package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/mirror"
)

const (
	// maxRead bounds how many records of a host OnRecord reads.
	maxRead = 1024
	// maxOnRecord bounds the suites that it returns.
	maxOnRecord = 8
)

// OnRecord returns suites of l's archive of which a Release is held, at most
// eight, also such as the catalog has forgotten.
func (c *Cache) OnRecord(l catalog.Location) ([]catalog.Location, error) {
	var found []catalog.Location
	read := 0
	host := catalog.Location{Scheme: l.Scheme, Host: l.Host, Path: "/"}
	err := c.names.Scan([]byte(key(host, false)), nil, func(k, value []byte) bool {
		read++
		var s suite
		dir, err := catalog.ParseURL(strings.TrimPrefix(string(k), keyPrefix))
		if err == nil && l.InArchiveOf(dir) && json.Unmarshal(value, &s) == nil && (c.kept(s.InRelease, "") || c.kept(s.Release, "")) {
			found = append(found, dir)
		}
		return len(found) < maxOnRecord && read < maxRead
	})
	return found, err
}

// Held returns the suites of which a Release is held that came without a login.
func (c *Cache) Held() (dirs []catalog.Location, err error) {
	err = c.names.Scan([]byte(keyPrefix), nil, func(k, value []byte) bool {
		var s suite
		dir, err := catalog.ParseURL(strings.TrimPrefix(string(k), keyPrefix))
		if err == nil && json.Unmarshal(value, &s) == nil && (c.kept(s.InRelease, "") || c.kept(s.Release, "")) {
			dirs = append(dirs, dir)
		}
		return true
	})
	return dirs, err
}

// kept reports whether the bytes of v are held.
func (c *Cache) kept(v record, login mirror.Login) bool {
	return !v.Digest.IsZero() && c.holds(v, login)
}

// known reports whether the catalog knows the suite. It forgets the least
// recently used when it knows too much.
func (c *Cache) known(suite catalog.Location) bool {
	_, ok := c.catalog.Generation(suite, digest.Digest{})
	return ok
}

// settled reports whether to learn the Release d of the suite again would change
// nothing: not if the catalog has forgotten the suite, nor if d is in force and
// unsigned, since its key may be in the keyring by now, or the clock right.
func (c *Cache) settled(suite catalog.Location, d digest.Digest) bool {
	g, ok := c.catalog.Generation(suite, digest.Digest{})
	return ok && (g.Signed || g.ID != d)
}

// recall makes the catalog learn the held Release again where that may change
// something. The mirror may answer that nothing has changed.
func (c *Cache) recall(e Request, s *suite) error {
	name := e.Location.Name()
	v := *s.form(name)
	if !c.kept(v, e.Login) || c.settled(e.Suite, v.Digest) {
		return nil
	}
	if c.known(e.Suite) {
		return c.verify(e.Suite, s, name)
	}
	files, err := c.files(s, name)
	if err != nil {
		return fmt.Errorf("reading the held Release of %s: %w", e.Suite, err)
	}
	files.Private = e.Login != ""
	checked, err := c.catalog.CheckRelease(e.Suite, files)
	if errors.Is(err, keyring.ErrBadSignature) && files.InRelease == nil {
		checked, err = c.checkUnfit(e.Suite, files)
	}
	if err != nil {
		return err
	}
	_, err = c.catalog.Adopt(checked)
	return err
}

// files returns the held bytes of a suite in the form of that name, without a
// signature that is not held.
func (c *Cache) files(s *suite, name string) (f catalog.ReleaseFiles, err error) {
	if name == "InRelease" {
		f.InRelease, err = c.read(s.InRelease)
		f.Reach = s.InRelease.Reach
		return f, err
	}
	f.Reach = s.Release.Reach
	if f.Release, err = c.read(s.Release); err != nil || s.Signature.Digest.IsZero() {
		return f, err
	}
	f.Signature, err = c.read(s.Signature)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return f, err
}

// read returns the held bytes of v.
func (c *Cache) read(v record) ([]byte, error) {
	blob, err := c.store.Open(v.Digest)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(io.LimitReader(blob, maxSize))
}
