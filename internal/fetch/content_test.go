package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store/storetest"
)

func TestFiftyClientsOneRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	path, want := r.packageAt("large"), r.files["large"].Data
	stall := r.mirror.Inject("*/large*", aptest.Stall(large/2))

	var clients sync.WaitGroup
	var streaming sync.WaitGroup
	streaming.Add(50)
	for i := range 50 {
		clients.Go(func() {
			f, err := r.get(t.Context(), path, digest.Digest{})
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				streaming.Done()
				return
			}
			defer f.Body.Close()
			first := make([]byte, 1000)
			_, err = io.ReadFull(f.Body, first)
			streaming.Done()
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			rest, err := io.ReadAll(f.Body)
			if err != nil || digest.Of(append(first, rest...)) != digest.Of(want) {
				t.Errorf("client %d: %d bytes, %v", i, len(first)+len(rest), err)
			}
		})
	}
	streaming.Wait() // all have bytes while the mirror still owes the rest
	stall.Release()
	clients.Wait()
	if n := r.mirror.Requests("*/large*"); n != 1 {
		t.Errorf("50 clients made %d requests of the mirror, want 1", n)
	}
}

func TestLeavingAndStallingClientsHurtNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	path, want := r.packageAt("large"), r.files["large"].Data
	hold := r.mirror.Inject("*/large*", aptest.Hold())

	leaving, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { // starts the download and goes before it has a byte
		_, err := r.get(leaving, path, digest.Digest{})
		first <- err
	}()
	must(t, hold.Await(t.Context(), 1))
	type result struct {
		f   *File
		err error
	}
	second, stalled := make(chan result, 1), make(chan result, 1)
	for _, ch := range []chan result{second, stalled} {
		go func() {
			f, err := r.get(t.Context(), path, digest.Digest{})
			ch <- result{f, err}
		}()
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that left got %v", err)
	}
	hold.Release()
	s := <-stalled // takes its file and never reads
	must(t, s.err)
	defer s.f.Body.Close()
	f := <-second
	must(t, f.err)
	defer f.f.Body.Close()
	got, err := io.ReadAll(f.f.Body)
	if err != nil || digest.Of(got) != digest.Of(want) {
		t.Errorf("the client that stayed got %d bytes, %v", len(got), err)
	}
	if n := r.mirror.Requests("*/large*"); n != 1 {
		t.Errorf("%d requests of the mirror, want 1", n)
	}
}

func TestCutDownloadResumes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault aptest.Fault
	}{
		{"cut", aptest.Truncate(large / 2)},
		{"stalled", aptest.Stall(large / 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, aptest.Suite{})
			r.update()
			r.impatient()
			r.mirror.InjectTimes(1, "*/large*", c.fault)
			before := r.taken.Load()
			r.want(r.packageAt("large"), r.files["large"].Data)
			if n := r.mirror.Requests("*/large*"); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
			if taken := r.taken.Load() - before; taken > int64(len(r.files["large"].Data))+chunk {
				t.Errorf("%d bytes taken for a file of %d: it was not resumed", taken, len(r.files["large"].Data))
			}
		})
	}
}

func TestCutDownloadResumesElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	other := r.second()
	cut := r.mirror.Inject("*/large*", aptest.Truncate(large/2))
	r.want(r.packageAt("large"), r.files["large"].Data)
	if cut.Hits() == 0 || other.Requests("*/large*") == 0 {
		t.Errorf("first mirror asked %d times, the other %d", cut.Hits(), other.Requests("*/large*"))
	}
	if sent := other.BytesSent("*/large*"); sent > int64(len(r.files["large"].Data))*3/4 {
		t.Errorf("the other mirror sent %d bytes of %d", sent, len(r.files["large"].Data))
	}
}

func TestPartialSurvivesRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	path, want := r.packageAt("large"), r.files["large"].Data
	stall := r.mirror.Inject("*/large*", aptest.Stall(large/2))
	f, err := r.get(t.Context(), path, digest.Digest{})
	must(t, err)
	must(t, readSome(f.Body, large/4))
	r.reopen() // the download dies with the process
	if _, err := io.ReadAll(f.Body); !errors.Is(err, ErrClosed) {
		t.Errorf("a client of the closed box got %v, want ErrClosed", err)
	}
	f.Body.Close()
	stall.Release()
	before := r.taken.Load()
	r.want(path, want)
	// At least what the client had was there; the mirror may have sent no more.
	if taken := r.taken.Load() - before; taken > int64(len(want)-large/4) {
		t.Errorf("%d bytes of %d were taken again", taken, len(want))
	}
}

func readSome(r io.Reader, n int) error {
	_, err := io.ReadFull(r, make([]byte, n))
	return err
}

func TestWrongBytes(t *testing.T) {
	t.Parallel()
	faults := map[string]aptest.Fault{
		"changed":    aptest.Corrupt(10, 4),
		"longer":     aptest.Longer(100),
		"shorter":    aptest.Shorter(100),
		"other file": aptest.OtherFile("/debian/dists/stable/InRelease"),
	}
	for name, fault := range faults {
		for _, size := range []string{"small", "large"} {
			t.Run(fmt.Sprintf("%s %s", size, name), func(t *testing.T) {
				r := newRig(t, aptest.Suite{})
				r.update()
				path, file := r.packageAt(size), r.files[size]
				r.mirror.Inject("*/"+size+"*", fault)
				got, _, err := r.read(path)
				if err == nil {
					t.Fatalf("a client got %d wrong bytes as a complete file", len(got))
				}
				if !errors.Is(err, ErrWrongBytes) {
					t.Errorf("got %v, want ErrWrongBytes", err)
				}
				if len(got) >= len(file.Data) {
					t.Errorf("the client got %d bytes of %d before the error", len(got), len(file.Data))
				}
				if r.held(digest.Of(file.Data)) || r.Stats().Wrong == 0 {
					t.Errorf("held: %v, counted as wrong: %d", r.held(digest.Of(file.Data)), r.Stats().Wrong)
				}
				must(t, r.Close()) // the download may still be looking for another source
				if u := r.store.Usage(); u.Partial != 0 {
					t.Errorf("%d wrong bytes are kept in partial files", u.Partial)
				}
			})
		}
	}
}

func TestWrongBytesAreFetchedElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	r.second()
	r.mirror.Inject("*/small*", aptest.Corrupt(10, 4))
	r.mirror.Inject("*/large*", aptest.Corrupt(large-10, 4))
	// A file that fits into the part held back is healed unseen.
	r.want(r.packageAt("small"), r.files["small"].Data)
	// A larger one breaks off; the next try has it.
	if got, _, err := r.read(r.packageAt("large")); err == nil {
		if digest.Of(got) != digest.Of(r.files["large"].Data) {
			t.Fatal("a complete wrong file")
		}
	} else if !errors.Is(err, ErrWrongBytes) {
		t.Errorf("got %v, want ErrWrongBytes", err)
	}
	r.want(r.packageAt("large"), r.files["large"].Data)
}

// A liar that cuts its connection leaves bytes that another mirror's are added
// to: nobody can tell whose were wrong, and each is asked alone.
func TestMixedWrongBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	r.second()
	r.mirror.InjectTimes(1, "*/large*", aptest.Corrupt(10, 4), aptest.Truncate(large/2))
	if got, _, err := r.read(r.packageAt("large")); err == nil && digest.Of(got) != digest.Of(r.files["large"].Data) {
		t.Fatal("a complete wrong file")
	}
	r.want(r.packageAt("large"), r.files["large"].Data)
}

func TestMirrorQuirks(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]aptest.Fault{
		"no length":     aptest.NoContentLength(),
		"no validators": aptest.NoValidators(),
		"closes":        aptest.CloseAfterEach(),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, aptest.Suite{})
			r.mirror.Inject("*", fault)
			r.update()
			r.want(r.packageAt("large"), r.files["large"].Data)
			r.want(r.packageAt("small"), r.files["small"].Data)
		})
	}
	t.Run("ignores range", func(t *testing.T) {
		r := newRig(t, aptest.Suite{})
		r.update()
		r.mirror.InjectTimes(1, "*/large*", aptest.Truncate(large/2))
		r.mirror.Inject("*/large*", aptest.IgnoreRange())
		r.want(r.packageAt("large"), r.files["large"].Data)
	})
	t.Run("redirects", func(t *testing.T) {
		r := newRig(t, aptest.Suite{})
		other := aptest.NewMirror(t, aptest.MirrorOptions{})
		other.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour)))
		r.publish()
		r.mirror.Inject("*/pool/*", aptest.Redirect(other.URL("/")+"*"))
		r.update()
		r.want(r.packageAt("large"), r.files["large"].Data)
	})
}

func TestMirrorsOwnAnswer(t *testing.T) {
	t.Parallel()
	for _, code := range []int{404, 403, 503} {
		r := newRig(t, aptest.Suite{})
		r.update()
		r.mirror.Inject("*/small*", aptest.Status(code))
		_, _, err := r.read(r.packageAt("small"))
		var status *mirror.StatusError
		if !errors.As(err, &status) || status.Code != code {
			t.Errorf("got %v, want the mirror's %d", err, code)
		}
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"from the start", "in the middle"} {
		t.Run(when, func(t *testing.T) {
			r := newRig(t, aptest.Suite{})
			r.update()
			path, want := r.packageAt("large"), r.files["large"].Data
			stall := r.mirror.InjectTimes(1, "*/large*", aptest.Stall(large/2))
			if when == "from the start" {
				stall.Release()
				r.disk.Full(true)
				r.want(path, want)
			} else {
				f, err := r.get(t.Context(), path, digest.Digest{})
				must(t, err)
				defer f.Body.Close()
				must(t, readSome(f.Body, 1000))
				r.disk.Full(true)
				stall.Release()
				rest, err := io.ReadAll(f.Body)
				if err != nil || digest.Of(rest) != digest.Of(want[1000:]) {
					t.Errorf("the rest past the full disk: %d bytes, %v", len(rest), err)
				}
			}
			if r.held(digest.Of(want)) || r.Stats().Diverted == 0 {
				t.Errorf("held %v, diverted %d", r.held(digest.Of(want)), r.Stats().Diverted)
			}
			// Wrong bytes are found on the way past the disk as well.
			r.mirror.Inject("*/large*", aptest.Corrupt(large-10, 4))
			if got, _, err := r.read(path); !errors.Is(err, ErrWrongBytes) || len(got) >= len(want) {
				t.Errorf("wrong bytes past the full disk: %d of %d, %v", len(got), len(want), err)
			}
			r.mirror.ClearFaults()
			r.disk.Full(false)
			for r.Stats().Running > 0 { // a client that joins one gets its passthrough
				time.Sleep(time.Millisecond)
			}
			r.want(path, want)
			if !r.held(digest.Of(want)) {
				t.Error("not kept although the disk has room again")
			}
		})
	}
}

func TestTooLargeForTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, func(o *Options) { o.Store = storetest.New(t, storetest.Quota(large/2)) })
	r.update()
	r.want(r.packageAt("large"), r.files["large"].Data)
	r.want(r.packageAt("small"), r.files["small"].Data)
	if !r.held(digest.Of(r.files["small"].Data)) {
		t.Error("a file that fits was given up for one that does not")
	}
}

// The bytes of a download are credited to the mirror once, however many read
// them, and never more than it sent.
func TestOrigins(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	var mu sync.Mutex
	got := make(map[ledger.Origin]int64)
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() {
			f, err := r.get(t.Context(), r.packageAt("large"), digest.Digest{})
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Body.Close()
			buf := make([]byte, 10_000)
			for {
				n, err := f.Body.Read(buf)
				mu.Lock()
				got[f.Body.Origin()] += int64(n)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	must(t, hold.Await(t.Context(), 1))
	hold.Release()
	clients.Wait()
	size := int64(len(r.files["large"].Data))
	if got[ledger.FromMirror] > size || got[ledger.FromMirror] < size/2 || got[ledger.FromMirror]+got[ledger.FromStore] != 5*size {
		t.Errorf("by origin: %v, for 5 × %d bytes", got, size)
	}
}
