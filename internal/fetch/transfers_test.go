package fetch

import (
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/ledger"
)

func TestTransfers(t *testing.T) {
	r := newRig(t, aptest.Suite{})
	r.update()
	path := r.packageAt("large")
	if all := r.Transfers(); len(all) != 0 {
		t.Fatalf("before: %+v", all)
	}
	hold := r.mirror.Inject("*large*", aptest.Hold())
	done := make(chan error, 1)
	go func() {
		_, _, err := r.read(path)
		done <- err
	}()
	must(t, hold.Await(t.Context(), 1))
	all := r.Transfers()
	if len(all) != 1 || all[0].Location != r.at(path) || all[0].Clients != 1 || all[0].Digest.IsZero() || time.Since(all[0].Started) > time.Minute {
		t.Errorf("under way: %+v", all)
	}
	for _, p := range all[0].Parts {
		if p.Origin != ledger.FromMirror || p.End <= p.Off {
			t.Errorf("part %+v", p)
		}
	}
	hold.Release()
	must(t, <-done)
}

func TestChecked(t *testing.T) {
	r := newRig(t, aptest.Suite{}, noTTL)
	dir := r.at(inRelease).Dir()
	if at, stale := r.Checked(dir); !at.IsZero() || stale != "" {
		t.Errorf("unknown: %v, %q", at, stale)
	}
	first, _, err := r.read(inRelease)
	must(t, err)
	fresh, stale := r.Checked(dir)
	if time.Since(fresh) > time.Minute || stale != "" {
		t.Errorf("confirmed: %v, %q", fresh, stale)
	}
	r.mirror.Inject("*", aptest.Status(503))
	r.want(inRelease, first)
	if at, stale := r.Checked(dir); !at.Equal(fresh) || stale == "" {
		t.Errorf("mirror away: %v, want %v; %q", at, fresh, stale)
	}
	r.mirror.ClearFaults()
	r.want(inRelease, first)
	if at, stale := r.Checked(dir); !at.After(fresh) || stale != "" {
		t.Errorf("mirror back: %v, %q", at, stale)
	}
}
