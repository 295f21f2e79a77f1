package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// The Release file of a former generation is served as it was, without asking the mirror;
// once it is gone the box says so.
func TestReleaseFileOfAFormerGeneration(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	former, was, err := r.read(inRelease)
	must(t, err)
	r.archive.Add(aptest.Package{Name: "new", Version: "1.0"})
	r.publish()
	_, _, err = r.insist(inRelease)
	must(t, err)
	asked := r.mirror.Requests("*")
	ask := func(name string) ([]byte, *File, error) {
		e := catalog.Entry{Location: r.dir().Join(name), Kind: catalog.ReleaseFile, Size: -1, Suite: r.dir()}
		f, err := r.Get(t.Context(), Request{Entry: e, Generation: was.Release})
		if err != nil {
			return nil, nil, err
		}
		defer f.Body.Close()
		b, err := io.ReadAll(f.Body)
		return b, f, err
	}
	got, f, err := ask("InRelease")
	if err != nil || !bytes.Equal(got, former) || f.Release != was.Release || f.Size != int64(len(former)) || f.Suite != r.dir() {
		t.Errorf("%d bytes, %+v, %v", len(got), f, err)
	}
	var status *mirror.StatusError
	if _, _, err := ask("Release"); !errors.As(err, &status) || status.Code != http.StatusNotFound {
		t.Errorf("the form in which it did not come: %v", err)
	}
	if n := r.mirror.Requests("*"); n != asked {
		t.Errorf("the mirror was asked %d times", n-asked)
	}
	must(t, r.store.Remove(digest.Of(former)))
	if _, _, err := ask("InRelease"); !errors.Is(err, ErrNotHeld) {
		t.Errorf("after it was removed: %v", err)
	}
}

// What the mirror has no more comes from the dated archive that the request names, and
// from nowhere else without one.
func TestDatedArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.datedTurn.pause = 0
	r.update()
	small := r.files["small"]
	r.mirror.Delete("/debian/" + small.Path)
	dated := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	dated.Put("/archive/debian/20260131T000000Z/"+small.Path, small.Data, time.Now())
	e := r.catalog.Resolve(t.Context(), r.at(small.Path), nil)
	if _, err := r.Get(t.Context(), Request{Entry: e}); err == nil {
		t.Fatal("the mirror still has it")
	}
	f, err := r.Get(t.Context(), Request{Entry: e, Dated: datedLocation(t, dated, "20260131T000000Z/"+small.Path)})
	must(t, err)
	defer f.Body.Close()
	if b, err := io.ReadAll(f.Body); err != nil || !bytes.Equal(b, small.Data) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	// The dated archive is not asked for what the mirror has.
	large := r.files["large"]
	e = r.catalog.Resolve(t.Context(), r.at(large.Path), nil)
	g, err := r.Get(t.Context(), Request{Entry: e, Dated: datedLocation(t, dated, "20260131T000000Z/"+large.Path)})
	must(t, err)
	defer g.Body.Close()
	if _, err := io.Copy(io.Discard, g.Body); err != nil || dated.Requests("*large*") != 0 {
		t.Errorf("%v; asked %d times", err, dated.Requests("*large*"))
	}
}

func datedLocation(t *testing.T, m *aptest.Mirror, path string) catalog.Location {
	t.Helper()
	l, err := catalog.ParseURL(m.URL("/archive/debian/" + path))
	must(t, err)
	return l
}

// Dated archives are asked one thing at a time, with a pause after it, and who gives up
// waiting takes no turn.
func TestDatedTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turn := newDatedTurn()
		var open atomic.Int32
		begun := time.Now()
		ask := func(ctx context.Context) (*peer.Stream, error) {
			return turn.open(ctx, func() (*peer.Stream, error) {
				if open.Add(1) != 1 {
					t.Error("two requests at once")
				}
				return &peer.Stream{ReadCloser: io.NopCloser(bytes.NewReader(nil))}, nil
			})
		}
		done := make(chan struct{})
		for range 4 {
			go func() {
				s, err := ask(t.Context())
				if err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Second)
				open.Add(-1)
				s.Close()
				s.Close()
				done <- struct{}{}
			}()
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		synctest.Wait()
		if _, err := ask(hasty); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who gave up got %v", err)
		}
		for range 4 {
			<-done
		}
		if took := time.Since(begun); took != 4*2*time.Second+3*datedPause {
			t.Errorf("four requests took %v", took)
		}
		if _, err := turn.open(t.Context(), func() (*peer.Stream, error) { return nil, ErrNoSource }); !errors.Is(err, ErrNoSource) {
			t.Error(err)
		}
		s, err := ask(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		time.Sleep(2 * datedPause) // its timer has run
	})
}
