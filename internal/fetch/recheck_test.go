package fetch

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/front"
	"millpond/internal/store"
)

// client is a party of its own.
func client(n int) front.Party {
	return front.PartyOf(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
}

// again asks for a path as a client does who was sent all of it before.
func (r *rig) again(path string) []byte {
	r.t.Helper()
	e := r.catalog.Resolve(r.t.Context(), r.at(path), nil)
	f, err := r.Get(r.t.Context(), Request{Entry: e, Party: client(1), Again: true})
	must(r.t, err)
	defer f.Body.Close()
	b, err := io.ReadAll(f.Body)
	must(r.t, err)
	return b
}

// A damaged file that a client comes back for is dropped before it is sent to it, and
// fetched anew; what is right is not fetched again, nor what nobody comes back for.
func TestComingBackForADamagedFile(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"a package": "", "an index": "dists/stable/main/binary-amd64/Packages.xz", "an unlisted file": "pool/main/o/other_1_all.deb"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, aptest.Suite{})
			r.mirror.Put("/debian/pool/main/o/other_1_all.deb", make([]byte, 1000), time.Now().Add(-time.Hour))
			r.update()
			if path == "" {
				path = r.packageAt("large")
			}
			want, _, err := r.read(path)
			must(t, err)
			requests := func() int { return r.mirror.Requests("*") } // an index has several names
			before := requests()
			if got := r.again(path); string(got) != string(want) || requests() != before {
				t.Errorf("a file that is right: %d bytes of %d, %d requests of the mirror", len(got), len(want), requests()-before)
			}
			r.reopen() // within the hour it would not be hashed
			must(t, overwrite(r.blobFile(digest.Of(want))))
			if got, _, err := r.read(path); err != nil || string(got) == string(want) {
				t.Fatalf("the file is not damaged: %v", err)
			}
			for range 2 {
				if got := r.again(path); string(got) != string(want) {
					t.Errorf("who comes back gets %d bytes that are wrong", len(got))
				}
			}
			if n := requests() - before; n != 1 {
				t.Errorf("%d requests of the mirror, want 1", n)
			}
			if !r.held(digest.Of(want)) {
				t.Error("it is not kept again")
			}
		})
	}
}

// hashing is what rechecks do, without a store.
type hashing struct {
	*rechecks
	wg      sync.WaitGroup
	release chan error // answers each verification
	mu      sync.Mutex
	hashed  []digest.Digest
}

func newHashing(t *testing.T) *hashing {
	h := &hashing{release: make(chan error)}
	ctx, cancel := context.WithCancel(t.Context())
	h.rechecks = newRechecks(nil, ctx, h.wg.Go, slog.New(slog.DiscardHandler))
	h.verify = func(d digest.Digest) error {
		h.mu.Lock()
		h.hashed = append(h.hashed, d)
		h.mu.Unlock()
		select {
		case err := <-h.release:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.Cleanup(func() { cancel(); h.wg.Wait() })
	return h
}

func numbered(n int) digest.Digest { return digest.Of(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// times is how often a blob was hashed.
func (h *hashing) times(d digest.Digest) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.hashed {
		if other == d {
			n++
		}
	}
	return n
}

// A blob that is right is hashed once an hour, whoever comes back for it; one that was
// damaged is hashed again when it was fetched anew.
func TestBlobsAreRecheckedOnceAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHashing(t)
		d := numbered(0)
		want := func(what string, n int) {
			t.Helper()
			if got := h.times(d); got != n {
				t.Errorf("%s: hashed %d times, want %d", what, got, n)
			}
		}
		first, second := h.begin(client(1), d), h.begin(client(2), d)
		h.release <- nil
		<-first
		<-second
		want("two at the same time", 1)
		time.Sleep(recheckEvery - time.Second)
		<-h.begin(client(1), d)
		want("within the hour", 1)
		time.Sleep(time.Second)
		for i, err := range []error{store.ErrMismatch, nil} {
			done := h.begin(client(1), d)
			h.release <- err
			<-done
			want("after it, or after damage", 2+i)
		}
		<-h.begin(client(1), d)
		want("within the hour after", 3)
	})
}

// Who comes back waits for two seconds at most.
func TestRecheckHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHashing(t)
		begun := time.Now()
		h.await(t.Context(), client(1), numbered(0))
		if took := time.Since(begun); took != recheckWait {
			t.Errorf("waited %v for a blob that takes long, want %v", took, recheckWait)
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		begun = time.Now()
		h.await(ctx, client(1), numbered(0))
		if took := time.Since(begun); took != time.Second {
			t.Errorf("a client that leaves after a second is waited for %v", took)
		}
		if n := h.times(numbered(0)); n != 1 {
			t.Errorf("hashed %d times, want once", n)
		}
	})
}

// Nothing is hashed for a client that has not been sent the file, or since what it was
// sent is not held any more.
func TestNoRecheckWithoutNeed(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	held, _, err := r.read(r.packageAt("small"))
	must(t, err)
	h := newHashing(t)
	close(h.release)
	r.rechecks = h.rechecks
	r.recheck(t.Context(), Request{Party: client(1)}, digest.Of(held))
	r.recheck(t.Context(), Request{Party: client(1), Again: true}, numbered(0))
	if n := h.times(digest.Of(held)) + h.times(numbered(0)); n != 0 {
		t.Errorf("%d blobs are hashed", n)
	}
	r.recheck(t.Context(), Request{Party: client(1), Again: true}, digest.Of(held))
	if n := h.times(digest.Of(held)); n != 1 {
		t.Errorf("a file that a client comes back for is hashed %d times, want once", n)
	}
}

// What waits to be hashed is bounded in all and by party, and one blob is hashed at a
// time, the parties in turn.
func TestRechecksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHashing(t)
		running := h.begin(client(0), numbered(0))
		synctest.Wait()
		waiting := func(party, n int) (accepted int) {
			for i := range n {
				select {
				case <-h.begin(client(party), numbered(1000*party+i)):
				default:
					accepted++
				}
			}
			return accepted
		}
		if n := waiting(1, 100); n != rechecksInTurn.OfParty {
			t.Errorf("%d of one party wait, want %d", n, rechecksInTurn.OfParty)
		}
		in := rechecksInTurn.OfParty
		for party := 2; party < 100; party++ {
			in += waiting(party, 1)
		}
		if in != rechecksInTurn.Others || len(h.pending) != rechecksInTurn.Others+1 {
			t.Errorf("%d wait and %d are pending, want %d", in, len(h.pending), rechecksInTurn.Others)
		}
		if len(h.hashed) != 1 {
			t.Errorf("%d are hashed at once", len(h.hashed))
		}
		h.release <- nil
		<-running
		h.release <- nil
		h.release <- nil
		synctest.Wait()
		if got := h.hashed[1:3]; got[0] != numbered(1000) || got[1] != numbered(2000) {
			t.Error("not the parties in turn")
		}
	})
}

// What is known to be right is bounded; the oldest gives way.
func TestRecheckedIsBounded(t *testing.T) {
	t.Parallel()
	h := newHashing(t)
	for i := range maxRechecked + 10 {
		h.found(numbered(i))
	}
	_, oldest := h.right[numbered(9)]
	_, kept := h.right[numbered(10)]
	if len(h.right) != maxRechecked || len(h.order) != maxRechecked || oldest || !kept {
		t.Errorf("%d are known, %d in order; the oldest: %v, %v", len(h.right), len(h.order), oldest, kept)
	}
}
