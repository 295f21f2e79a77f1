package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

// suite is what is kept of one suite, in both of its forms. Release and its
// signature are one thing in two files: they are fetched, checked and replaced
// together, so that a client gets a pair that fits.
type suite struct {
	InRelease record
	Release   record
	Signature record
}

// record is what is kept of one file: the bytes last seen under its name, and
// how to ask whether they are still the same.
type record struct {
	Digest       digest.Digest
	Size         int64
	ETag         string
	LastModified time.Time // zero if the mirror stated none
	Seen         time.Time // when these bytes were first seen
	Checked      time.Time // when the mirror last said that they are current
	Unchecked    string    // why it could not be asked since
	Missing      int       // the mirror's 404, 403 or 410 instead, when not 0
}

// form is the record that decides how fresh a file is: a signature is as fresh
// as its Release.
func (s *suite) form(name string) *record {
	if name == "InRelease" {
		return &s.InRelease
	}
	return &s.Release
}

// modified is the Last-Modified under which clients get the file.
func (v record) modified() time.Time {
	if v.LastModified.IsZero() {
		return v.Seen
	}
	return v.LastModified
}

// request asks the mirror for the file unless it is still v.
func (v record) request(l catalog.Location) mirror.Request {
	r := mirror.Request{URL: l.String()}
	if v.Digest.IsZero() {
		return r
	}
	r.IfNoneMatch = v.ETag
	if !v.LastModified.IsZero() {
		r.IfModifiedSince = v.LastModified.UTC().Format(httpTime)
	}
	return r
}

// httpTime is RFC 9110's date, section 5.6.7.
const httpTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// holds reports whether v can be served: its bytes, or the mirror's refusal.
func (c *Cache) holds(v record) bool {
	if v.Digest.IsZero() {
		return v.Missing != 0
	}
	_, err := c.store.Stat(v.Digest)
	return err == nil
}

// key is the suite's name in the table.
func key(dir catalog.Location) []byte { return []byte("suite/" + dir.String()) }

// load reads what is kept of a suite, and how many checks had ended before.
func (c *Cache) load(dir catalog.Location) (s suite, ended int, err error) {
	c.mu.Lock()
	ended = c.ended
	c.mu.Unlock()
	b, err := c.names.Get(key(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return s, ended, nil
	}
	if err != nil {
		return s, ended, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, ended, fmt.Errorf("record of the suite %s: %w", dir, err)
	}
	return s, ended, nil
}

// save keeps s.
func (c *Cache) save(dir catalog.Location, s suite) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.names.Put(key(dir), b)
}
