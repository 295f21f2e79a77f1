package fetch

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// readOneOf reads the unlisted file as one that indices list with these contents.
func (r *rig) readOneOf(contents ...[]byte) ([]byte, error) {
	e := catalog.Entry{Location: r.at(unlisted), Size: -1}
	for _, c := range contents {
		e.OneOf = append(e.OneOf, digest.Of(c))
	}
	f, err := r.Get(r.t.Context(), Request{Entry: e})
	if err != nil {
		return nil, err
	}
	defer f.Body.Close()
	return io.ReadAll(f.Body)
}

// Of a file that indices list with several digests clients get what the mirror
// has, if it is one of those, and no complete file otherwise.
func TestOneOf(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": small, "large": large} {
		for _, full := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", full disk"}[full], func(t *testing.T) {
				t.Parallel()
				r := newRig(t, aptest.Suite{})
				r.disk.Full(full)
				a, b, wrong := make([]byte, size), make([]byte, size), make([]byte, size)
				b[0], wrong[0] = 1, 2
				put := func(data []byte) { r.mirror.Put("/debian/"+unlisted, data, time.Now().Add(-time.Hour)) }

				put(wrong)
				got, err := r.readOneOf(a, b)
				if !errors.Is(err, ErrWrongBytes) || len(got) >= size || size == small && len(got) > 0 {
					t.Errorf("got %d bytes of a file that no index lists, %v", len(got), err)
				}
				if v, err := kv.GetJSON[mirror.Copy](r.names, unknownKey(r.at(unlisted), "")); err != nil || !v.Digest.IsZero() {
					t.Errorf("it is kept under its name: %+v, %v", v, err)
				}
				if r.held(digest.Of(wrong)) || r.Stats().Wrong != 1 {
					t.Errorf("it is held: %v; wrong files %d", r.held(digest.Of(wrong)), r.Stats().Wrong)
				}

				put(b)
				if got, err = r.readOneOf(a, b); err != nil || !bytes.Equal(got, b) {
					t.Errorf("got %d bytes, %v, want what the mirror has", len(got), err)
				}
				if full {
					return
				}
				before := r.mirror.Requests("*unlisted*")
				if got, err = r.readOneOf(a, b); err != nil || !bytes.Equal(got, b) || r.mirror.Requests("*unlisted*") != before {
					t.Errorf("got %d bytes, %v, want those that are held and fresh", len(got), err)
				}
				// What is held is nothing to a client whose lists have others.
				put(wrong)
				if got, err = r.readOneOf(a, wrong); err != nil || !bytes.Equal(got, wrong) {
					t.Errorf("got %d bytes, %v, want what the mirror has now", len(got), err)
				}
			})
		}
	}
}
