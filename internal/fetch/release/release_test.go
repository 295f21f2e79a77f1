package release

import (
	"context"
	"errors"
	"testing"

	"millpond/internal/catalog"
)

// A check starts from the suite's latest record only: one that has ended since
// the record was read may have changed it. After the end callers get its cause.
// Package fetch tests the rest, with a mirror.
func TestCheckStartsFromTheLatestRecord(t *testing.T) {
	closed := errors.New("closed")
	lifetime, end := context.WithCancelCause(t.Context())
	end(closed)
	c := New(lifetime, Options{})
	e := Request{Entry: catalog.Entry{Kind: catalog.ReleaseFile, Location: catalog.Location{Scheme: "http", Host: "a", Path: "/dists/stable/InRelease"}}}
	c.ended = 1
	if k := c.check(e, suite{}, 0); k != nil {
		t.Error("a check started from an outdated record")
	}
	k := c.check(e, suite{}, 1)
	if k == nil {
		t.Fatal("no check from the latest record")
	}
	if <-k.done; k.err != closed {
		t.Errorf("after the end: %v, want its cause", k.err)
	}
	c.Wait()
}
