package swarm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// suites are peer.Releases that a function answers for.
type suites func(ctx context.Context, by peer.Asker, q peer.ReleaseQuery, asking func()) (peer.ReleaseOffer, error)

func (s suites) Release(ctx context.Context, by peer.Asker, q peer.ReleaseQuery, asking func()) (peer.ReleaseOffer, error) {
	return s(ctx, by, q, asking)
}

// The InRelease that the asking boxes hold, and a query for it.
var (
	heldRelease = []byte("the Release that is held")
	stableQuery = peer.ReleaseQuery{Suite: digest.Of([]byte("http://archive.example.org/debian/dists/stable")), Held: digest.Of(heldRelease)}
	pairQuery   = peer.ReleaseQuery{Suite: stableQuery.Suite, Pair: true, Held: stableQuery.Held, Signature: digest.Of([]byte("signature"))}
)

// patientSign is longer than a busy machine takes for an answer.
const patientSign = 30 * time.Second

// holder runs a box that answers with s, and another one that asks it, which waits for a
// sign for so long.
func holder(t testing.TB, s suites, sign time.Duration) (holder, asker *box, asked *remote) {
	t.Helper()
	holder = newBox(t, func(o *settings) { o.Releases = s }).run(t)
	asker = newBox(t, func(o *settings) { o.Bootstrap = []string{holder.dialled()} })
	asker.Swarm.releases.sign = sign
	asker.run(t)
	until(t, "the asker knows that the other box answers queries", func() bool {
		speaks, err := asker.host.Peerstore().SupportsProtocols(holder.self(), releasesProtocol)
		return err == nil && len(speaks) == 1 && asker.knows(holder) && holder.knows(asker)
	})
	return holder, asker, asker.peer(holder.self())
}

func upload(b []byte) peer.Upload { return shelved{bytes.NewReader(b)} }

// offered is an answer with files.
func offered(age time.Duration, release, signature []byte) peer.ReleaseOffer {
	return peer.ReleaseOffer{Age: age, Open: func(context.Context) (peer.Upload, peer.Upload, error) {
		if signature == nil {
			return upload(release), nil, nil
		}
		return upload(release), upload(signature), nil
	}}
}

func TestReleaseQueries(t *testing.T) {
	t.Parallel()
	long := randomBytes(3 << 20)
	for _, c := range []struct {
		name  string
		q     peer.ReleaseQuery
		offer func() peer.ReleaseOffer
		want  peer.ReleaseAnswer
		err   error
	}{
		{"unchanged", stableQuery, func() peer.ReleaseOffer { return peer.ReleaseOffer{Age: 1500 * time.Millisecond} }, peer.ReleaseAnswer{Age: 1500 * time.Millisecond}, nil},
		{"new", stableQuery, func() peer.ReleaseOffer { return offered(0, long, nil) }, peer.ReleaseAnswer{Release: long}, nil},
		{"new pair", pairQuery, func() peer.ReleaseOffer {
			return offered(0, long, heldRelease)
		}, peer.ReleaseAnswer{Release: long, Signature: heldRelease}, nil},
		{"unknown", stableQuery, nil, peer.ReleaseAnswer{}, fs.ErrNotExist},
	} {
		for _, asks := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				got := make(chan peer.ReleaseQuery, 1)
				h, a, asked := holder(t, func(_ context.Context, by peer.Asker, q peer.ReleaseQuery, asking func()) (peer.ReleaseOffer, error) {
					got <- q
					if asks {
						asking()
					}
					if by.Kind != peer.Local || c.offer == nil {
						return peer.ReleaseOffer{}, fs.ErrNotExist
					}
					return c.offer(), nil
				}, patientSign)
				answer, err := asked.Release(t.Context(), c.q)
				if answer.Release != nil && answer.Age < patience {
					answer.Age = 0 // opening took so long
				}
				if !errors.Is(err, c.err) || !reflect.DeepEqual(answer, c.want) {
					t.Errorf("the answer is %d and %d bytes of %v, %v", len(answer.Release), len(answer.Signature), answer.Age, err)
				}
				if q := <-got; q != c.q {
					t.Errorf("the query arrived as %+v", q)
				}
				sent := int64(len(c.want.Release) + len(c.want.Signature))
				taken, _ := a.transfers.sums(h.self())
				if taken != sent {
					t.Errorf("%d bytes count as taken, want %d", taken, sent)
				}
				until(t, "the bytes count as given", func() bool {
					_, given := h.transfers.sums(a.self())
					return given == sent
				})
				if f := a.Peers()[0].LastFault; f != "" {
					t.Errorf("fault %q", f)
				}
			})
		}
	}
}

// A box that has to ask its mirror is waited for as long as the caller wants, one that
// gives no sign for a moment.
func TestSilenceAboutReleases(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		sign    bool
		patient time.Duration
		err     error
	}{{"no sign", false, releaseSign, peer.ErrSilent}, {"a sign", true, patientSign, peer.ErrStalled}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, asker, asked := holder(t, func(ctx context.Context, _ peer.Asker, _ peer.ReleaseQuery, asking func()) (peer.ReleaseOffer, error) {
				if c.sign {
					asking()
				}
				<-ctx.Done()
				return peer.ReleaseOffer{}, ctx.Err()
			}, c.patient)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			begun := time.Now()
			_, err := asked.Release(ctx, stableQuery)
			if took := time.Since(begun); !errors.Is(err, c.err) || took < releaseSign || (took >= 3*time.Second) != c.sign {
				t.Errorf("%v after %v, want %v", err, took, c.err)
			}
			if f := asker.Peers()[0].LastFault; f != "" {
				t.Errorf("fault %q, which is for the caller to judge", f)
			}
		})
	}
}

// TestLiarsOfReleases has boxes send bad answers.
func TestLiarsOfReleases(t *testing.T) {
	long(t)
	t.Parallel()
	write := func(b []byte) func(network.Stream) {
		return func(st network.Stream) {
			st.Write(b)
			st.Close()
		}
	}
	numbers := func(kind byte, all ...uint64) (b []byte) {
		b = append(b, kind)
		for _, n := range all {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	for _, c := range []struct {
		name  string
		tell  func(network.Stream)
		fault bool
	}{
		{"unknown kind", write([]byte{9}), true},
		{"asks twice", write([]byte{askingAnswer, askingAnswer, sameAnswer, 0}), true},
		{"too large", write(numbers(otherAnswer, 0, peer.MaxRelease+1, 0)), true},
		{"a signature with InRelease", write(append(numbers(otherAnswer, 0, 1, 1), "ab"...)), true},
		{"nothing", write(numbers(otherAnswer, 0, 0, 0)), true},
		{"of ages ago", write(numbers(sameAnswer, 1<<62)), true},
		{"half a file", write(append(numbers(otherAnswer, 0, 10, 0), "half"...)), false},
		{"half a number", write([]byte{sameAnswer, 0x80}), false},
		{"hangs up", func(st network.Stream) { st.Reset() }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			liar, asker, asked := holder(t, suites(nil), patientSign)
			liar.host.SetStreamHandler(releasesProtocol, c.tell)
			if a, err := asked.Release(t.Context(), stableQuery); err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%+v, %v", a, err)
			}
			if fault := asker.Peers()[0].LastFault; (fault != "") != c.fault {
				t.Errorf("fault %q, want one: %t", fault, c.fault)
			}
		})
	}
}

// A query that no box sends is a fault of who sent it, and one that breaks off is none.
func TestLiarsInQueries(t *testing.T) {
	t.Parallel()
	var answered atomic.Int64
	h, a, _ := holder(t, func(context.Context, peer.Asker, peer.ReleaseQuery, func()) (peer.ReleaseOffer, error) {
		answered.Add(1)
		return peer.ReleaseOffer{}, nil
	}, patientSign)
	send := func(b []byte) {
		st, err := a.host.NewStream(network.WithNoDial(t.Context(), "test"), h.self(), releasesProtocol)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Reset()
		if _, err := st.Write(b); err != nil {
			t.Fatal(err)
		}
		st.CloseWrite()
		if n, err := st.Read(make([]byte, 1)); err == nil {
			t.Errorf("%x has an answer of %d bytes", b[:min(len(b), 10)], n)
		}
	}
	send(appendReleaseQuery(nil, stableQuery)[:releaseQuerySize-1])
	if f := h.Peers()[0].LastFault; f != "" {
		t.Errorf("fault %q for a query that broke off", f)
	}
	send(append([]byte{7}, make([]byte, releaseQuerySize-1)...))
	until(t, "the fault is reported", func() bool { return h.Peers()[0].LastFault != "" })
	if n := answered.Load(); n != 0 {
		t.Errorf("%d queries were answered", n)
	}
}

// What a box asks is bounded: at once, and in time.
func TestQueriesAreBounded(t *testing.T) {
	long(t)
	t.Parallel()
	var now, all atomic.Int64
	release := make(chan struct{})
	_, _, asked := holder(t, func(ctx context.Context, _ peer.Asker, _ peer.ReleaseQuery, asking func()) (peer.ReleaseOffer, error) {
		defer now.Add(-1)
		all.Add(1)
		now.Add(1)
		asking()
		select {
		case <-release:
		case <-ctx.Done():
		}
		return peer.ReleaseOffer{}, nil
	}, patientSign)
	begun := time.Now() // the burst is whole
	var asking sync.WaitGroup
	for i := range int64(releasesPerPeer) {
		asking.Go(func() { _, _ = asked.Release(t.Context(), stableQuery) }) // a busy machine may be too late for some
		until(t, "the query is being answered", func() bool { return now.Load() == i+1 })
	}
	if _, err := asked.Release(t.Context(), stableQuery); err == nil || now.Load() > releasesPerPeer {
		t.Errorf("%d queries of a box are answered at once, %v", now.Load(), err)
	}
	close(release)
	asking.Wait()
	for all.Load() < releasesBurst+8 {
		_, _ = asked.Release(t.Context(), stableQuery) // those that come too fast are not answered in time
	}
	least := time.Duration(float64(time.Second) * float64(8) / float64(releasesPace))
	if took := time.Since(begun); took < least {
		t.Errorf("%d queries took %v, want at least %v for those beyond the burst", all.Load(), took, least)
	}
}

// A network that has as many answers with files under way as it may leaves others room.
func TestAnswersAreShared(t *testing.T) {
	t.Parallel()
	h, a, asked := holder(t, func(context.Context, peer.Asker, peer.ReleaseQuery, func()) (peer.ReleaseOffer, error) {
		return offered(0, heldRelease, nil), nil
	}, patientSign)
	slots, greedy := h.Swarm.releases.slots, lister{at: netip.MustParsePrefix("192.0.2.0/24")}
	fill := func(by lister) (n int64) {
		for slots.Take(by, 1) == 1 {
			n++
		}
		return n
	}
	if n := fill(greedy); n == 0 || n >= releaseSlots {
		t.Errorf("one network has %d of %d slots", n, releaseSlots)
	}
	if _, err := asked.Release(t.Context(), stableQuery); err != nil {
		t.Errorf("beside a greedy network: %v", err)
	}
	until(t, "the slot is given back", func() bool { return slots.Held(h.inventories.lister(a.self())) == 0 })
	fill(h.inventories.lister(a.self()))
	if _, err := asked.Release(t.Context(), stableQuery); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("beyond its own share: %v", err)
	}
}

// A box of an earlier version is not asked, nor does a banned one get an answer.
func TestWhoIsNotAskedForReleases(t *testing.T) {
	t.Parallel()
	var answered atomic.Int64
	h, a, asked := holder(t, func(context.Context, peer.Asker, peer.ReleaseQuery, func()) (peer.ReleaseOffer, error) {
		answered.Add(1)
		return peer.ReleaseOffer{}, nil
	}, patientSign)
	if _, err := asked.Release(t.Context(), stableQuery); err != nil {
		t.Fatal(err)
	}
	h.reputation.Ban(a.self().String(), time.Hour)
	if _, err := asked.Release(t.Context(), stableQuery); err == nil {
		t.Error("a banned box got an answer")
	}
	h.reputation.Ban(a.self().String(), 0)
	h.host.RemoveStreamHandler(releasesProtocol)
	until(t, "it is known that the box answers no more", func() bool {
		known, err := a.host.Peerstore().SupportsProtocols(h.self(), releasesProtocol)
		return err == nil && len(known) == 0
	})
	if _, err := asked.Release(t.Context(), stableQuery); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a box of an earlier version: %v", err)
	}
	if n := answered.Load(); n != 1 {
		t.Errorf("%d queries were answered, want 1", n)
	}
}

// getsReleases reports whether the other box gets an answer, although it is one that
// takes the first for at least local.
func getsReleases(t *testing.T, a *acquaintance, want bool) bool {
	t.Helper()
	a.other.Swarm.releases.sign = patientSign
	until(t, "the other box knows that the first one answers queries", func() bool {
		speaks, err := a.other.host.Peerstore().SupportsProtocols(a.box.self(), releasesProtocol)
		return err == nil && len(speaks) == 1 && a.other.kind(a.box.self()) >= peer.Local
	})
	return eventually(t, want, func() bool {
		_, err := a.other.peer(a.box.self()).Release(t.Context(), stableQuery)
		return err == nil
	})
}

func TestReleasesEndWithRun(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	var using atomic.Bool
	h, _, asked := holder(t, func(ctx context.Context, _ peer.Asker, _ peer.ReleaseQuery, _ func()) (peer.ReleaseOffer, error) {
		using.Store(true)
		close(began)
		<-ctx.Done()
		using.Store(false)
		return peer.ReleaseOffer{}, ctx.Err()
	}, patientSign)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = asked.Release(t.Context(), stableQuery) // the box stops
	}()
	<-began
	h.stop()
	if using.Load() {
		t.Error("a query is being answered after Close")
	}
	<-over
}

func FuzzReadReleaseQuery(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendReleaseQuery(nil, stableQuery))
	f.Add(appendReleaseQuery(nil, pairQuery))
	f.Add(append([]byte{2}, make([]byte, releaseQuerySize)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readReleaseQuery(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := appendReleaseQuery(nil, q); !bytes.Equal(again, b[:releaseQuerySize]) {
			t.Errorf("%x is read as %+v, %x", b, q, again)
		}
	})
}

func FuzzReadRelease(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte{unknownAnswer}, true)
	f.Add(appendRelease([]byte{askingAnswer}, time.Minute, nil, nil), false)
	f.Add(append(appendRelease(nil, 0, upload(heldRelease), nil), heldRelease...), false)
	f.Add(append(appendRelease(nil, 0, upload(heldRelease), upload(heldRelease[:3])), heldRelease...), true)
	f.Add([]byte{otherAnswer, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, false)
	f.Fuzz(func(t *testing.T, b []byte, pair bool) {
		took := int64(0)
		a, err := readRelease(bufio.NewReader(bytes.NewReader(b)), pair, func() {}, func(n int64) { took += n })
		if took > int64(len(b)) || took > 2*peer.MaxRelease {
			t.Errorf("%d bytes count of %d", took, len(b))
		}
		if err != nil {
			return
		}
		var release, signature peer.Upload
		if a.Release != nil {
			release = upload(a.Release)
		}
		if a.Signature != nil {
			signature = upload(a.Signature)
		}
		whole := append(append(appendRelease(nil, a.Age, release, signature), a.Release...), a.Signature...)
		again, err := readRelease(bufio.NewReader(bytes.NewReader(whole)), pair, func() {}, func(int64) {})
		if err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("%+v comes back as %+v, %v", a, again, err)
		}
	})
}
