package release

import (
	"millpond/internal/catalog"
	"millpond/internal/kv"
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

// record is what is kept of one file.
type record struct {
	mirror.Copy
	Unchecked string // why the mirror could not be asked since Checked
	Missing   int    // the mirror's 404, 403 or 410 instead, when not 0
}

// missing is the record of a file that the mirror does not have.
func missing(status int) record {
	v := record{Missing: status}
	v.Confirm()
	return v
}

// confirm records that the mirror has just said that the file is current.
func (v *record) confirm() {
	v.Confirm()
	v.Unchecked = ""
}

// form is the record that decides how fresh a file is: a signature is as fresh
// as its Release.
func (s *suite) form(name string) *record {
	if name == "InRelease" {
		return &s.InRelease
	}
	return &s.Release
}

// holds reports whether v can be served: its bytes, or the mirror's refusal.
func (c *Cache) holds(v record, login mirror.Login) bool {
	if v.Digest.IsZero() {
		return v.Missing != 0
	}
	info, err := c.store.Stat(v.Digest)
	return err == nil && (login != "" || len(info.Private) == 0)
}

// keyPrefix begins the names of the suites of which the Release came without a
// login.
const keyPrefix = "suite/"

// key is the suite's name in the table: one for what came without a login, and
// one for what came with one.
func key(dir catalog.Location, private bool) string {
	if private {
		return "private suite/" + dir.String()
	}
	return keyPrefix + dir.String()
}

// load reads what is kept of a suite, and how many checks had ended before.
func (c *Cache) load(dir catalog.Location, login mirror.Login) (s suite, ended int, err error) {
	c.mu.Lock()
	ended = c.ended
	c.mu.Unlock()
	s, err = kv.GetJSON[suite](c.names, key(dir, login != ""))
	return s, ended, err
}
