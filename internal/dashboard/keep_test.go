package dashboard

import (
	"testing"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keep"
)

// kept is a Keeper that has these.
type kept []keep.State

func (s kept) State() []keep.State { return s }

func TestKeep(t *testing.T) {
	t.Parallel()
	dir := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/trixie"}
	old, now := digest.Of([]byte("old")), digest.Of([]byte("now"))
	for want, s := range map[string]keep.State{
		"fetching":   {Suite: dir, Complete: old, Wanted: now, CompleteDate: since, CompleteFiles: 4, CompleteBytes: 40, Files: 5, FilesHeld: 3},
		"complete":   {Suite: dir, Complete: now, Wanted: now, Lacks: []keep.Lack{{Package: "a 1 (amd64)", Needs: "b"}}, MoreLacks: 2},
		"incomplete": {Suite: dir, Complete: now, Wanted: now, FilesGone: 1},
		"failing":    {Suite: dir, Fault: "the mirror does not answer"},
	} {
		r := newRig(t, func(o *Options) { o.Keep = kept{s} })
		got := get[api.Keep](t, r, "/api/v1/keep").Slices
		if len(got) != 1 || got[0].State != want || got[0].Suite != dir.String() || got[0].Fault != s.Fault ||
			got[0].CompleteFiles != s.CompleteFiles || got[0].CompleteBytes != s.CompleteBytes || got[0].Files != s.Files || got[0].FilesHeld != s.FilesHeld || len(got[0].Lacks) != len(s.Lacks) || got[0].LacksMore != s.MoreLacks {
			t.Errorf("want %s: %+v", want, got)
		}
		if complete := got[0].Complete; (complete == "") != s.Complete.IsZero() || complete != "" && complete != s.Complete.String() {
			t.Errorf("complete in %q, want %s", complete, s.Complete)
		}
	}
	r := newRig(t, nil)
	if got := get[api.Keep](t, r, "/api/v1/keep"); got.Slices == nil || len(got.Slices) != 0 {
		t.Errorf("a box that keeps nothing: %+v", got)
	}
}
