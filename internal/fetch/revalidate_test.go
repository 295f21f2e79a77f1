package fetch

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// insist has 30 clients ask at once for a path that the mirror is to be asked
// for, and returns what they got, which must be the same for all.
func (r *rig) insist(path string) ([]byte, *File, error) {
	r.t.Helper()
	const clients = 30
	type answer struct {
		data []byte
		file *File
		err  error
	}
	answers := make([]answer, clients)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			a := &answers[i]
			a.file, a.err = r.Get(r.t.Context(), Request{Entry: r.catalog.Resolve(r.t.Context(), r.at(path), nil), Revalidate: true})
			if a.err == nil {
				a.data, a.err = io.ReadAll(a.file.Body)
				a.file.Body.Close()
			}
		})
	}
	all.Wait()
	for _, a := range answers[1:] {
		if !bytes.Equal(a.data, answers[0].data) || (a.err == nil) != (answers[0].err == nil) {
			r.t.Errorf("%s: clients that came together got different answers", path)
		}
	}
	return answers[0].data, answers[0].file, answers[0].err
}

// age makes the last checks of the suite and of the unlisted file a second older.
func (r *rig) age() {
	r.t.Helper()
	suite := "suite/" + r.at("dists/stable").String()
	records, err := kv.GetJSON[map[string]map[string]any](r.names, suite)
	must(r.t, err)
	for _, v := range records {
		at, err := time.Parse(time.RFC3339Nano, v["Checked"].(string))
		must(r.t, err)
		v["Checked"] = at.Add(-time.Second)
	}
	must(r.t, kv.PutJSON(r.names, suite, records))
	v, err := kv.GetJSON[mirror.Copy](r.names, unknownKey(r.at(unlisted), ""))
	must(r.t, err)
	v.Checked = v.Checked.Add(-time.Second)
	must(r.t, kv.PutJSON(r.names, unknownKey(r.at(unlisted), ""), v))
}

// A client that insists gets the mirror's present file within the TTL; those
// that come with it, and within a second, cost the mirror nothing more.
func TestRevalidate(t *testing.T) {
	t.Parallel()
	for _, path := range []string{inRelease, unlisted} {
		r := newRig(t, aptest.Suite{}, func(o *Options) { o.TTL = time.Hour })
		pattern := "*/" + path
		old := bytes.Repeat([]byte("old"), 1000)
		r.mirror.Put("/debian/"+unlisted, old, time.Now().Add(-2*time.Hour))
		r.want(unlisted, old)
		first, _, err := r.read(path)
		must(t, err)
		asked := func(what string, want int) {
			t.Helper()
			if n := r.mirror.Requests(pattern); n != want {
				t.Errorf("%s, %s: the mirror was asked %d times, want %d", path, what, n, want)
			}
		}
		r.age()
		_, _, err = r.insist(path) // two answers prove a Release file's validators
		must(t, err)
		base := r.mirror.Requests(pattern)
		got, _, err := r.insist(path)
		must(t, err)
		asked("within a second", base)
		if !bytes.Equal(got, first) {
			t.Errorf("%s: got other bytes", path)
		}

		r.age()
		before := r.mirror.BytesSent("*")
		hold := r.mirror.InjectTimes(1, pattern, aptest.Hold())
		go func() {
			if hold.Await(t.Context(), 1) == nil {
				hold.Release()
			}
		}()
		_, _, err = r.insist(path)
		must(t, err)
		asked("unchanged", base+1)
		if sent := r.mirror.BytesSent("*") - before; sent != 0 {
			t.Errorf("%s: an unchanged file cost %d bytes of the mirror", path, sent)
		}

		r.age()
		r.mirror.Put("/debian/"+unlisted, bytes.Repeat([]byte("new"), 1000), time.Now())
		r.archive.Add(aptest.Package{Name: "more", Version: "1.0", Size: 100})
		r.publish()
		r.want(path, first) // nobody insists
		asked("within the TTL", base+1)
		got, f, err := r.insist(path)
		must(t, err)
		asked("changed", base+2)
		if bytes.Equal(got, first) || f.Stale != "" {
			t.Errorf("%s: an old file was served to clients that insist, stale: %q", path, f.Stale)
		}

		r.age()
		r.mirror.Down()
		again, f, err := r.insist(path)
		must(t, err)
		if !bytes.Equal(again, got) || f.Stale == "" {
			t.Errorf("%s: got %d bytes, stale: %q, while the mirror is unreachable", path, len(again), f.Stale)
		}
	}
}

// A refusal on record is asked about, too.
func TestRevalidateRefusal(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, func(o *Options) { o.TTL = time.Hour })
	want := func(path string, status int) {
		t.Helper()
		var refused *mirror.StatusError
		if _, _, err := r.insist(path); status != 0 && (!errors.As(err, &refused) || refused.Code != status) {
			t.Errorf("%s: got %v, want status %d", path, err, status)
		} else if status == 0 && err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	want("dists/stable/Release", 0) // so that the suite is there
	r.mirror.InjectTimes(1, "*InRelease", aptest.Status(404))
	want(inRelease, 404)
	want(inRelease, 404)
	if n := r.mirror.Requests("*InRelease"); n != 1 {
		t.Errorf("the mirror was asked %d times within a second", n)
	}
	r.age()
	if _, _, err := r.read(inRelease); err == nil {
		t.Error("a client that does not insist had the mirror asked within the TTL")
	}
	want(inRelease, 0)
	want(unlisted, 404)
	r.mirror.Put("/debian/"+unlisted, []byte("new"), time.Now())
	want(unlisted, 0)
}

// A file with a digest is what it is: nobody is asked.
func TestRevalidateContent(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	r.mirror.ResetLog()
	if got, _, err := r.insist(r.packageAt("small")); err != nil || digest.Of(got) != digest.Of(r.files["small"].Data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if n := r.mirror.Requests("*"); n != 0 {
		t.Errorf("the mirror was asked %d times", n)
	}
}
