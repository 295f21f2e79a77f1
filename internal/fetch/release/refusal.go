package release

import (
	"errors"
	"net/http"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/clock"
	"millpond/internal/keyring"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// patience is how long the mirror has to give the same bad answer for a Release
// file, or to lack indices of a new one, before that counts although the last
// good one is held: archives and their front ends are put right, and updates of
// mirrors end, within minutes.
const patience = time.Hour

// refusal is an answer of the mirror that would replace a held Release file by
// nothing.
type refusal struct {
	Status int           // 200 for what is no Release
	Since  time.Time     // when the mirror first gave it
	By     clock.Reading `json:",omitzero"` // at Since
}

// refused returns the status of an answer that says that the mirror does not have
// a Release file, 0 if err says something else: that the mirror is away, or that
// someone changed the file.
func refused(err error) int {
	var status *mirror.StatusError
	switch {
	case mirror.IsUnreachable(err) && (!errors.Is(err, ErrNotRelease) || errors.Is(err, keyring.ErrBadSignature)):
		return 0
	case errors.Is(err, ErrNotRelease):
		return http.StatusOK
	case errors.As(err, &status):
		return status.Code
	}
	return 0
}

// refuse notes that the mirror answered with that status instead of the file v
// of the suite, and reports whether that counts.
func (c *Cache) refuse(dir catalog.Location, v *record, status int) (counts bool) {
	age, _, ok := clock.Since(v.Refusal.Since, v.Refusal.By)
	if v.Refusal.Status != status || !ok {
		v.Refusal = refusal{status, time.Now(), clock.Read()}
		age = 0
	}
	return v.Digest.IsZero() || age >= patience || c.wantsLogin(dir, status)
}

// wantsLogin reports whether the answer is about a client without a login, and so
// for it to know.
func (c *Cache) wantsLogin(dir catalog.Location, status int) bool {
	switch status {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden:
		private, err := kv.GetJSON[suite](c.names, key(dir, true))
		return err == nil && private != suite{}
	}
	return false
}

// drop forgets a file that the mirror does not have any more; of the pair, both.
func (c *Cache) drop(e Request, s *suite) {
	form := s.form(e.Location.Name())
	c.unpin(e.Suite, e.Login != "", form.Digest, record{}.Digest)
	if form == &s.Release {
		c.unpin(e.Suite, e.Login != "", s.Signature.Digest, record{}.Digest)
		s.Signature = record{}
	}
	*form = record{}
}
