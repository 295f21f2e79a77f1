package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/clock"
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
	Unchecked string // why what the mirror has was not taken since Checked
	Missing   int    // the mirror's 404, 403 or 410 instead, when not 0
	Refusal   refusal
	Pending   pending
	Answered  mirror.Check // the last answer of the mirror that changed nothing
	Expired   bool         // the mirror is to be asked within the TTL, too
	Compared  time.Time    // when the mirror last sent these very bytes again
	Agreed    bool         // two answers with these bytes had the validators that are kept
	Dated     time.Time    // the Release's own Date, if it is proved and names its suite
	Sole      bool         // no other answer than the one that it came with was of the same suite
	Rejected  Rejected     // what the mirror had instead when last asked
	From      string       // the URL that a redirector led to for it, "" without one
	Mirror    string       // that sent it, of those of its archive; "" if there is one place
	Reach     catalog.Reach
	Asked     mirror.Check `json:",omitzero"`  // when the mirror last answered this box itself
	Vouched   string       `json:",omitempty"` // the box whose mirror said at Checked that it is current; "" if this box's did

	SeenBy, ComparedBy clock.Reading `json:",omitzero"` // at Seen and at Compared
}

// fresh reports whether v can be served without asking the mirror.
func (v record) fresh(ttl time.Duration, revalidate bool) bool {
	revalidate = revalidate || v.Expired
	return v.Check.Fresh(ttl, revalidate) || v.Answered.Fresh(ttl, revalidate)
}

// confirmed is v when the mirror has just said that it is current.
func (v record) confirmed() record {
	v.Confirm()
	return record{Copy: v.Copy, SeenBy: v.SeenBy, Compared: v.Compared, ComparedBy: v.ComparedBy, Agreed: v.Agreed, Dated: v.Dated, Sole: v.Sole, From: v.From, Mirror: v.Mirror, Reach: v.Reach}
}

// promptly is how long after the Date in it a Release file is written: the archive
// lists its files and signs before.
const promptly = 30 * time.Minute

// conditions is what a request for a file of which v is held may be made conditional
// on. Whoever sent an old file may have put the validators of the present one beside
// it, which the mirror would confirm then. So one answer proves none, and more of them
// a date that fits the Release's own, which is signed: the present file has a later
// one. Other validators are proved by an hour, as all that mirrors keep to.
func (v record) conditions() mirror.Copy {
	switch age, _, ok := clock.Since(v.Seen, v.SeenBy); {
	case v.Agreed && ok && age >= patience:
		return v.Copy
	case v.Agreed && v.LastModified.Before(v.Dated.Add(promptly)):
		v.ETag = ""
		return v.Copy
	}
	return mirror.Copy{}
}

// again is v when the mirror has sent the same bytes again. Of the validators those
// count that both answers had.
func (v record) again(r *mirror.Response) record {
	v.Compared, v.ComparedBy = time.Now(), clock.Read()
	v.Unsettled, v.Sole = v.Unsettled && r.Unsettled, false
	tag, date := v.ETag != "" && v.ETag == r.ETag, !v.LastModified.IsZero() && v.LastModified.Equal(r.LastModified)
	v.Agreed = tag || date
	if tag || !v.Agreed {
		v.ETag = r.ETag
	} else {
		v.ETag = ""
	}
	if !date {
		v.LastModified = r.LastModified
		v.Unsettled = v.Agreed || r.Unsettled
	}
	return v.confirmed()
}

// unchanged notes that the mirror answered, and why v stays in force
// nevertheless.
func (v *record) unchanged(why error) {
	v.Unchecked, v.Expired = why.Error(), false
	v.Answered.Confirm()
}

// pending is a new Release that is not in force yet.
type pending struct {
	Since time.Time     // when the first such was seen; zero if there is none
	By    clock.Reading `json:",omitzero"` // at Since
}

// missing is the record of a file that the mirror does not have.
func missing(status int) record {
	v := record{Missing: status}
	v.Confirm()
	return v
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

// privatePrefix begins those of which it came with one.
const privatePrefix = "private suite/"

// key is the suite's name in the table: one for what came without a login, and
// one for what came with one.
func key(dir catalog.Location, private bool) string {
	if private {
		return privatePrefix + dir.String()
	}
	return keyPrefix + dir.String()
}

// load reads what is kept of a suite or, where nothing is, remembered, and how many
// checks had ended before.
func (c *Cache) load(dir catalog.Location, login mirror.Login) (s suite, ended int, err error) {
	k := recordKey{dir, login != ""}
	c.mu.Lock()
	ended = c.ended
	absent := c.absent[k.String()]
	c.mu.Unlock()
	s, err = c.readRecord(k)
	if s == (suite{}) {
		s = absent
	}
	return s, ended, err
}

// recordKey is what a key is made of.
type recordKey struct {
	dir     catalog.Location
	private bool
}

func (k recordKey) String() string { return key(k.dir, k.private) }

// maxParsed is how many records are kept as they were parsed, of some 4 kB each.
const maxParsed = 256

// parsed is a record as it is on disk, and what that says.
type parsed struct {
	text   []byte
	suite  suite
	writes int // of records, before it was read
}

// readRecord reads a record, zero if there is none. Parsing one takes ten times as long
// as to see that it is the one of before.
func (c *Cache) readRecord(k recordKey) (s suite, err error) {
	c.mu.Lock()
	before, writes := c.parsed[k], c.writes
	c.mu.Unlock()
	text, err := c.names.Get([]byte(k.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if before != nil && bytes.Equal(before.text, text) {
		if before.writes != writes {
			c.keepParsed(k, &parsed{text, before.suite, writes})
		}
		return before.suite, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return suite{}, fmt.Errorf("record %q: %w", k.String(), err)
	}
	c.keepParsed(k, &parsed{text, s, writes})
	return s, nil
}

func (c *Cache) keepParsed(k recordKey, p *parsed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.parsed) >= maxParsed { // those forgotten are parsed again
		clear(c.parsed)
	}
	c.parsed[k] = p
}

// putRecord and deleteRecord are the only ones that change records on disk.
func (c *Cache) putRecord(name string, s suite) error {
	defer c.written()
	return kv.PutJSON(c.names, name, s)
}

func (c *Cache) deleteRecord(name string) error {
	defer c.written()
	return c.names.Delete([]byte(name))
}

// written has what was parsed before count as old.
func (c *Cache) written() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
}

// Unchanged reports whether Get would return v once more, which it returned for a Release
// or an InRelease without a login, at once and with nothing else to tell. age is as in
// File. That its bytes are held is for the caller to see to.
func (c *Cache) Unchanged(e Request, v File) (age time.Duration, ok bool) {
	k := recordKey{e.Suite, false}
	c.mu.Lock()
	p, writes := c.parsed[k], c.writes
	c.mu.Unlock()
	if p == nil || p.writes != writes {
		if _, err := c.readRecord(k); err != nil {
			return 0, false
		}
		c.mu.Lock()
		p = c.parsed[k]
		c.mu.Unlock()
		if p == nil {
			return 0, false
		}
	}
	r := p.suite.form(e.Location.Name())
	same := r.Digest == v.Digest && r.Modified().Equal(v.Modified) && r.Unchecked == "" && !r.Digest.IsZero()
	return r.Age(), same && r.fresh(c.ttl, false) && c.known(e.Suite)
}
