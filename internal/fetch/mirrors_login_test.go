package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

// Each mirror gets the box's login for it and no other; what it opens is private
// wherever it came from. A client's own login is for the archive's own name.
func TestLoginsOfSeveralMirrors(t *testing.T) {
	t.Parallel()
	s := newSeveral(t, aptest.Suite{}, noTTL)
	s.connect(fmt.Sprintf("machine %s login alice password correct-horse\nmachine %s login bob password battery-staple\n",
		s.all[0].URL("/"), s.all[1].URL("/")))
	for i, login := range []mirror.Login{alice, bob, mallory} {
		s.all[i].Inject("*", aptest.Login(string(login)))
	}
	s.update()
	s.forget()
	s.refused("a client's own login", bob, s.at(s.packageAt("small")), 401)
	s.wantRequests("*", 2, 0, 0)
	s.forget()
	s.all[0].Down()
	s.want(s.packageAt("large"), s.files["large"].Data)
	for i, login := range []mirror.Login{alice, bob, ""} {
		for _, r := range s.all[i].Log() {
			if mirror.Login(r.Authorization) != login {
				t.Errorf("mirror %d got another login with %s", i, r.Path)
			}
		}
	}
	if got := s.requests("*/large_*"); got[1] == 0 {
		t.Errorf("%d requests", got)
	}
	if _, err := s.public(digest.Of(s.files["large"].Data)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what came with a login: %v, want it for nobody without", err)
	}
	var away *mirror.UnreachableError
	if _, err := s.as(bob, s.at(s.packageAt("small"))); !errors.As(err, &away) {
		t.Errorf("got %v", err)
	}
	for i, m := range s.all {
		if got := m.Requests("*/small_*"); got > 0 {
			t.Errorf("mirror %d was asked for a client with a login of its own", i)
		}
	}
}
