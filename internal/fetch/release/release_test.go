package release

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/digest"
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

func TestNamedSuitesAreBounded(t *testing.T) {
	t.Parallel()
	c := &Cache{named: make(map[digest.Digest]catalog.Location)}
	for i := range 2 * maxNamed {
		dir := catalog.Location{Scheme: "http", Host: "archive.example.org", Path: fmt.Sprintf("/debian/dists/suite%d", i)}
		c.noteNamed(dir)
		if c.named[suiteName(dir)] != dir || len(c.named) > maxNamed {
			t.Fatalf("%d suites are found by the digest of their URL, this one: %v", len(c.named), c.named[suiteName(dir)])
		}
	}
}

// Records are parsed once, and how many are kept so is bounded.
func TestParsedRecordsAreBounded(t *testing.T) {
	t.Parallel()
	c := &Cache{parsed: make(map[recordKey]*parsed)}
	for n := range 3 * maxParsed {
		c.keepParsed(recordKey{dir: catalog.Location{Path: fmt.Sprint("/", n)}}, new(parsed))
		if len(c.parsed) > maxParsed {
			t.Fatalf("%d records are kept", len(c.parsed))
		}
	}
}
