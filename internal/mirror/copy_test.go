package mirror_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/digest"
	"millpond/internal/mirror"
)

func TestCopyRequest(t *testing.T) {
	const url = "http://archive.example.org/debian/dists/stable/InRelease"
	modified := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))
	d := digest.Of([]byte("bytes"))
	for name, c := range map[string]struct {
		held mirror.Copy
		want mirror.Request
	}{
		"nothing held":    {mirror.Copy{ETag: `"a"`, LastModified: modified}, mirror.Request{URL: url}},
		"no validators":   {mirror.Copy{Digest: d}, mirror.Request{URL: url}},
		"both":            {mirror.Copy{Digest: d, ETag: `"a"`, LastModified: modified}, mirror.Request{URL: url, IfNoneMatch: `"a"`, IfModifiedSince: "Sun, 01 Mar 2026 11:00:00 GMT"}},
		"date alone":      {mirror.Copy{Digest: d, LastModified: modified}, mirror.Request{URL: url, IfModifiedSince: "Sun, 01 Mar 2026 11:00:00 GMT"}},
		"date, unsettled": {mirror.Copy{Digest: d, LastModified: modified, Unsettled: true}, mirror.Request{URL: url}},
		"both, unsettled": {mirror.Copy{Digest: d, ETag: `"a"`, LastModified: modified, Unsettled: true}, mirror.Request{URL: url, IfNoneMatch: `"a"`}},
		"entity tag only": {mirror.Copy{Digest: d, ETag: `W/"a"`}, mirror.Request{URL: url, IfNoneMatch: `W/"a"`}},
	} {
		c.want.Revalidate = true // what is kept under a URL is replaced there
		if got := c.held.Request(url); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Databases have records in this form.
func TestCopyIsKeptAsBefore(t *testing.T) {
	const kept = `{"Digest":"2d9b5ae5cc0d5c4b8d4ea2b9c6c1a2fd8e1f9e5c4b3a29181706f5e4d3c2b1a0","Size":5,"ETag":"\"a\"",` +
		`"LastModified":"2026-03-01T11:00:00Z","Seen":"2026-03-02T00:00:00Z","Checked":"2026-03-03T00:00:00Z"}`
	var c mirror.Copy
	if err := json.Unmarshal([]byte(kept), &c); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(c); err != nil || string(got) != kept {
		t.Errorf("%s, %v; want %s", got, err, kept)
	}
	if !c.Modified().Equal(c.LastModified) {
		t.Error("Modified is not the mirror's date")
	}
	c.LastModified = time.Time{}
	if !c.Modified().Equal(c.Seen) {
		t.Error("without the mirror's date Modified is not when the bytes were first seen")
	}
}

// What a client that insists gets is at most a second old.
func TestCopyFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := mirror.NewCopy(digest.Of(nil), 0, &mirror.Response{})
		for _, tt := range []struct {
			after               time.Duration
			ttl                 time.Duration
			relaxed, insistence bool
		}{
			{0, time.Minute, true, true},
			{0, 0, false, false},
			{time.Second - 1, time.Minute, true, true},
			{time.Second, time.Minute, true, false},
			{time.Minute - 1, time.Minute, true, false},
			{time.Minute, time.Minute, false, false},
		} {
			time.Sleep(time.Until(c.Checked.Add(tt.after)))
			if got := c.Fresh(tt.ttl, false); got != tt.relaxed {
				t.Errorf("%v after the check, within %v: fresh is %v", tt.after, tt.ttl, got)
			}
			if got := c.Fresh(tt.ttl, true); got != tt.insistence {
				t.Errorf("%v after the check, within %v, to be revalidated: fresh is %v", tt.after, tt.ttl, got)
			}
		}
		c.Checked = time.Now().Add(time.Hour)
		if c.Fresh(time.Minute, false) {
			t.Error("checked by a clock that was an hour ahead: fresh")
		}
		// The clock is set back.
		c.Confirm()
		kept, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var set mirror.Copy
		if err := json.Unmarshal(kept, &set); err != nil || !set.Fresh(time.Minute, false) {
			t.Errorf("kept just now: %v, fresh is %v", err, set.Fresh(time.Minute, false))
		}
		time.Sleep(time.Minute)
		set.Checked = time.Now().Add(-time.Second)
		if set.Fresh(time.Minute, false) {
			t.Error("checked a minute ago, a second ago by a clock that was set back: fresh")
		}
		// The clock was 50 minutes ahead until the box was stopped, an hour ago.
		set.Confirm()
		set.Checked, set.Clock.Process = time.Now().Add(-10*time.Minute), "an earlier one"
		if set.Fresh(time.Hour, false) {
			t.Error("checked an hour ago, 10 minutes ago by the clock of an earlier process: fresh")
		}
		c.Checked = time.Now().Add(-24 * time.Hour)
		if c.Confirm(); !c.Fresh(time.Minute, false) {
			t.Error("checked again: not fresh")
		}
	})
}
