package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/peer"
)

// within bounds a test in which a client would otherwise wait for days.
const within = 2 * time.Minute

// wantEntry reads a file as that entry and compares.
func (r *rig) wantEntry(e catalog.Entry, want []byte) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	f, err := r.Get(ctx, Request{Entry: e})
	if err != nil {
		return fmt.Errorf("%s: %w", e.Location, err)
	}
	defer f.Body.Close()
	got, err := io.ReadAll(f.Body)
	if err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%s: got %d bytes of %d, %w", e.Location, len(got), len(want), err)
	}
	return nil
}

// named is the entry of the file of a package under a name that nothing vouches for.
func (r *rig) named(host, name string) catalog.Entry {
	file := r.files[name]
	return catalog.Entry{
		Location: catalog.Location{Scheme: "http", Host: host, Path: "/by-hash/SHA256/" + digest.Of(file.Data).String()},
		Kind:     catalog.Content, Digest: digest.Of(file.Data), Size: int64(len(file.Data)),
	}
}

// dripping is a mirror that has a file of the rig under named's name, and sends a byte
// of it each second.
func (r *rig) dripping(listen, name string) *aptest.Mirror {
	m := aptest.NewMirror(r.t, aptest.MirrorOptions{Listen: listen})
	data := r.files[name].Data
	m.Put("/by-hash/SHA256/"+digest.Of(data).String(), data, time.Now())
	m.Inject("*", aptest.Slow(1))
	return m
}

// unsigned makes the rig's archive one of an unknown key: nothing vouches for its
// places.
func unsigned(t *testing.T) *rig {
	r := newRig(t, aptest.Suite{})
	other := &rig{t: t, key: r.key, keys: r.keys, files: make(map[string]aptest.File), archive: aptest.NewArchive(aptest.NewKey("stranger"), aptest.Suite{}), mirror: aptest.NewMirror(t, aptest.MirrorOptions{})}
	other.files["large"] = other.archive.Add(aptest.Package{Name: "large", Version: "1.0", Size: large})
	other.publish()
	other.open()
	other.update()
	return other
}

// Whoever asks for a digest first, and under whatever name, everybody gets the file.
func TestHostileNameHoldsNobody(t *testing.T) {
	t.Parallel()
	for name, signed := range map[string]bool{"signed": true, "unsigned": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r *rig
			if signed {
				r = newRig(t, aptest.Suite{})
				r.update()
				r.entry(r.files["large"].Path) // waits until the index has been learned
			} else {
				r = unsigned(t)
			}
			file := r.files["large"]
			hostile := r.dripping("127.0.0.2:0", "large")
			taken := r.taken.Load()
			ends := make(chan error, 3)
			go func() { ends <- r.wantEntry(r.named(hostile.Addr(), "large"), file.Data) }()
			if !signed { // the flight has no other place
				for hostile.Requests("*") == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			for range 2 {
				go func() { ends <- r.wantEntry(r.entry(file.Path), file.Data) }()
			}
			for range 3 {
				if err := <-ends; err != nil {
					t.Error(err)
				}
			}
			if n := r.mirror.Requests("*/large_*"); n != 1 {
				t.Errorf("the honest mirror got %d requests, want 1", n)
			}
			if n := hostile.Requests("*"); signed && n != 0 {
				t.Errorf("the hostile place got %d requests, though a signed index lists another", n)
			}
			if n := r.taken.Load() - taken; n > int64(len(file.Data))+chunk {
				t.Errorf("%d bytes were taken for a file of %d", n, len(file.Data))
			}
		})
	}
}

// However many places requests name for a digest, one that joins is asked.
func TestFloodOfPlaces(t *testing.T) {
	t.Parallel()
	r := unsigned(t)
	hostile := r.dripping("0.0.0.0:0", "large")
	_, port, _ := bytes.Cut([]byte(hostile.Addr()[len("[::]")-1:]), []byte(":"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for i := range 1000 {
		e := r.named(fmt.Sprintf("127.0.%d.%d:%s", 1+i/200, 1+i%200, port), "large")
		all.Go(func() {
			if f, err := r.Get(ctx, Request{Entry: e}); err == nil {
				f.Body.Close()
			}
		})
	}
	for r.Stats().Joined < 999 {
		time.Sleep(time.Millisecond)
	}
	r.Fetcher.mu.Lock()
	for _, fl := range r.flights {
		if n := len(fl.inOrder()); n > maxPlaces {
			t.Errorf("a flight has %d places, want %d at most", n, maxPlaces)
		}
	}
	r.Fetcher.mu.Unlock()
	if err := r.wantEntry(r.entry(r.packageAt("large")), r.files["large"].Data); err != nil {
		t.Error(err)
	}
	cancel()
	all.Wait()
}

// Places are bounded, and fair between hosts; those that a signed Release lists stay.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	var all []place
	at := func(host, path string, vouched bool) place {
		return place{entry: catalog.Entry{Location: catalog.Location{Scheme: "http", Host: host, Path: path}}, vouched: vouched}
	}
	addPlace(&all, at("first", "/", false))
	addPlace(&all, at("good", "/", true))
	for i := range 1000 {
		addPlace(&all, at("one", fmt.Sprint("/", i), false))
	}
	if len(all) != 2+maxPlacesOfHost {
		t.Errorf("%d places, want %d of one host", len(all), maxPlacesOfHost)
	}
	for i := range 1000 {
		addPlace(&all, at(fmt.Sprint("host", i), "/", false))
	}
	has := func(host string) bool {
		return slices.ContainsFunc(all, func(p place) bool { return p.entry.Location.Host == host })
	}
	if len(all) != maxPlaces || !has("good") || !has("host999") {
		t.Errorf("%d places: with the one that is vouched for %v, with the last %v", len(all), has("good"), has("host999"))
	}
}

// A mirror that sends next to nothing, or nothing more, does not keep a client that
// another one could serve; and the next file does not begin with it.
func TestSlowMirrorIsSetAside(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]aptest.Fault{
		"drips": aptest.Slow(1), "stalls": aptest.Stall(large / 2), "is silent": aptest.Hold(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, aptest.Suite{})
			r.update()
			second := r.second()
			taken := r.taken.Load()
			r.mirror.Inject("*/large_*", fault)
			if err := r.wantEntry(r.entry(r.packageAt("large")), r.files["large"].Data); err != nil {
				t.Error(err)
			}
			if n := second.Requests("*/large_*"); n != 1 {
				t.Errorf("the second mirror got %d requests, want 1", n)
			}
			if n := r.taken.Load() - taken; n > int64(len(r.files["large"].Data))+chunk {
				t.Errorf("%d bytes were taken for a file of %d", n, len(r.files["large"].Data))
			}
			r.want(r.packageAt("small"), r.files["small"].Data)
			if n := r.mirror.Requests("*/small_*"); n != 0 {
				t.Errorf("the next file began with the slow mirror: %d requests", n)
			}
		})
	}
}

// The only place of a file is kept, however slow, and asked once; and of two that are
// as good as each other only one is asked.
func TestNoRaceWithoutNeed(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, aptest.Suite{}, map[string]int{"other": small})
	r.update()
	slow := r.mirror.Inject("*/small_*", aptest.Slow(4<<10))
	r.want(r.packageAt("small"), r.files["small"].Data)
	slow.Release()
	second := r.second()
	r.want(r.packageAt("other"), r.files["other"].Data)
	for _, name := range []string{"small", "other"} {
		if n := r.mirror.Requests("*/"+name+"_*") + second.Requests("*/"+name+"_*"); n != 1 {
			t.Errorf("%s: %d requests, want 1", name, n)
		}
	}
}

// A stranger that is slow gives way to the mirror, and is not asked first for the next
// file; one that is fast keeps its place.
func TestSlowStranger(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, nil)
	slow := r.add(r.far, "large", "slow", func(b *box) { b.far, b.rate = true, 1<<10 })
	if err := r.wantEntry(r.entry(r.packageAt("large")), r.data("large")); err != nil {
		t.Fatal(err)
	}
	if f := slow.faults(); !slices.Equal(f, []peer.Fault{peer.Slow}) || r.fromMirror("large") == 0 {
		t.Errorf("faults %v, the mirror sent %d", f, r.fromMirror("large"))
	}
	next := r.add(r.far, "small", "slow", func(b *box) { b.far, b.rate = true, 1<<10 })
	r.right("small", 1)
	if n := len(next.asks()); n != 0 {
		t.Errorf("it was asked for the next file %d times", n)
	}

	s := newSwarmRig(t, nil)
	fast := s.add(s.far, "large", "fast", func(b *box) { b.far = true })
	s.right("large", 1)
	if n := s.fromMirror("large"); n != 0 || fast.blamed() || fast.gave() != int64(len(s.data("large"))) {
		t.Errorf("the mirror sent %d, the box %d with faults %v", n, fast.gave(), fast.faults())
	}
}

// A slow source costs a client a second at most, and is slow or silent.
func TestSlowSourceCostsASecond(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	data := r.files["large"].Data
	for name, c := range map[string]struct {
		rate  int64
		fault peer.Fault
	}{"17 KiB/s": {17 << 10, peer.Slow}, "a byte each second": {1, peer.Stalled}} {
		part, err := r.store.Partial(digest.Of(data), int64(len(data)))
		must(t, err)
		synctest.Test(t, func(t *testing.T) {
			fl := r.newFlight(flightKey{digest: digest.Of(data)}, catalog.Entry{Kind: catalog.Content, Digest: digest.Of(data), Size: int64(len(data))})
			fl.begin(part)
			defer fl.closeFile()
			d := &download{fl: fl, tallies: make(map[string]*tally)}
			site := newBoxes()
			slow, fast := &box{name: name, site: site, data: data, rate: c.rate}, &box{name: "fast", site: site, data: data, rate: 40 * mib}
			begun := time.Now()
			result, err := d.askAll(t.Context(), part, candidates{peers: []*peerSource{
				fl.peerSource(slow, seed), fl.peerSource(fast, seed),
			}}, 0)
			took := time.Since(begun)
			if !result.done || err != nil || took > time.Second || !slices.Equal(slow.faults(), []peer.Fault{c.fault}) || fast.faults() != nil {
				t.Errorf("%s: done %v after %v, %v; faults %v and %v", name, result.done, took, err, slow.faults(), fast.faults())
			}
			t.Logf("%s: %v", name, took)
		})
		must(t, part.Discard())
	}
}

// A download that is stopped says so, though a source was told to stop just before.
func TestRaceThatIsStopped(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r := race{d: new(download), active: 1}
	over, err := r.finish(ctx, &runner{lost: true, err: errOutpaced})
	if !over || !errors.Is(err, context.Canceled) {
		t.Errorf("over: %v, %v", over, err)
	}
}
