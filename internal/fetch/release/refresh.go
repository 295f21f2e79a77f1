package release

import (
	"context"
	"errors"
	"slices"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
)

// Refresh makes the catalog know the mirror's present generation of the suite
// in dir, as a client's request for its Release does: within the TTL nothing is
// asked. It returns when a new generation of a followed suite is in force. The error
// says why the mirror did not answer, though the last good generation stays in force.
func (c *Cache) Refresh(ctx context.Context, dir catalog.Location) error {
	login := c.access.Login(dir.Join("InRelease"), "")
	s, _, err := c.load(dir, login)
	if err != nil {
		return err
	}
	forms := []string{"InRelease", "Release"}
	if s.InRelease.Digest.IsZero() && !s.Release.Digest.IsZero() {
		slices.Reverse(forms)
	}
	first := c.refreshForm(ctx, dir, forms[0], login)
	if !mirror.IsAbsent(first) {
		return first
	}
	// As apt does: archives have InRelease, or Release with Release.gpg, or both.
	if err := c.refreshForm(ctx, dir, forms[1], login); !mirror.IsAbsent(err) {
		return err
	}
	return first
}

// refreshForm is Refresh in the form of that name.
func (c *Cache) refreshForm(ctx context.Context, dir catalog.Location, name string, login mirror.Login) error {
	e := requestFor(dir, name)
	e.Login, e.Patient = login, true
	s, _, err := c.checked(ctx, e)
	v := s.form(name)
	switch {
	case err != nil:
		return err
	case v.Unchecked != "":
		return errors.New(v.Unchecked)
	case v.Digest.IsZero():
		return &mirror.StatusError{URL: e.Location.String(), Code: v.Missing}
	}
	return nil
}
