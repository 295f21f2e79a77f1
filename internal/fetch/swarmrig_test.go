package fetch

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/lag"
	"millpond/internal/peer"
)

// swarmRig is a rig with boxes around it.
type swarmRig struct {
	*rig
	*boxes
	digests map[string]digest.Digest // of the packages
}

// patientTimeouts are long enough for a busy machine. Tests of silence have
// shorter ones.
var patientTimeouts = timeouts{
	headStart: 15 * time.Millisecond, lookup: 2 * time.Second,
	seed: 10 * time.Second, downloader: 10 * time.Second, piece: 30 * time.Second,
	poll: 10 * time.Millisecond, stall: time.Second, learnGrace: 20 * time.Second, settle: 20 * time.Millisecond,
	whole: 10 * time.Second, keepAlive: 10 * time.Second,
}

// Boxes of each kind, as they ask.
var (
	stranger = peer.Asker{ID: "stranger", Kind: peer.Stranger}
	local    = peer.Asker{ID: "local", Kind: peer.Local}
	member   = peer.Asker{ID: "member", Kind: peer.Member}
)

// newSwarmRig has packages of the sizes named. On a busy machine it waits longer for
// peers, as a box does.
func newSwarmRig(t testing.TB, sizes map[string]int) *swarmRig {
	s, meter := newBoxes(), lag.New()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = meter.Run(ctx) }) // returns nil
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	r := &swarmRig{newRigWith(t, aptest.Suite{}, sizes, func(o *Options) { o.Swarm, o.Lag = s, meter }), s, make(map[string]digest.Digest)}
	for name, file := range r.files {
		r.digests[name] = digest.Of(file.Data)
	}
	r.timeouts = patientTimeouts
	r.update()
	return r
}

// data is the file of a package.
func (r *swarmRig) data(name string) []byte { return r.files[name].Data }

// digest is that of the file of a package.
func (r *swarmRig) digest(name string) digest.Digest { return r.digests[name] }

// add puts a box that has a package into a list of the swarm.
func (r *swarmRig) add(list map[digest.Digest][]*box, pkg, name string, change ...func(*box)) *box {
	b := &box{name: name, site: r.boxes, data: r.data(pkg)}
	for _, c := range change {
		c(b)
	}
	d := r.digest(pkg)
	r.boxes.mu.Lock()
	defer r.boxes.mu.Unlock()
	list[d] = append(list[d], b)
	return b
}

// quiet waits for what goes on after the clients have their bytes.
func (r *swarmRig) quiet() { r.running.Wait() }

// fromMirror is what the mirror has sent of a package.
func (r *swarmRig) fromMirror(name string) int64 { return r.mirror.BytesSent("*/" + name + "_*") }

// right reads a package until it comes whole, at most tries times; what breaks
// off must be short.
func (r *swarmRig) right(name string, tries int) {
	r.t.Helper()
	var err error
	for range tries {
		var n int64
		if n, err = r.compare(name); err == nil {
			return
		}
		if n >= int64(len(r.data(name))) {
			r.t.Errorf("%s: %d bytes of %d with the error %v", name, n, len(r.data(name)), err)
		}
	}
	r.t.Errorf("%s: %v", name, err)
}

// reading has a client read a package, and tells how that went.
func (r *swarmRig) reading(name string) <-chan error {
	over := make(chan error, 1)
	go func() {
		_, err := r.compare(name)
		over <- err
	}()
	return over
}

// arrived waits until the first n bytes of a package that is being downloaded are there.
func (r *swarmRig) arrived(name string, n int64) {
	r.t.Helper()
	key := flightKey{digest: r.digest(name), size: int64(len(r.data(name)))}
	for tick := time.Tick(time.Millisecond); ; {
		r.Fetcher.mu.Lock()
		fl := r.flights[key]
		r.Fetcher.mu.Unlock()
		if fl != nil && fl.available() >= n {
			return
		}
		select {
		case <-tick:
		case <-r.t.Context().Done():
			r.t.Fatalf("%s: %d bytes have not arrived", name, n)
		}
	}
}

// available is how many bytes are there from the beginning on.
func (fl *flight) available() int64 {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.part == nil {
		return 0
	}
	return fl.part.Available(0)
}

// compare reads a package to its end and tells how much came.
func (r *swarmRig) compare(name string) (n int64, err error) {
	r.t.Helper()
	f, err := r.get(r.t.Context(), r.packageAt(name), digest.Digest{})
	if err != nil {
		return 0, err
	}
	defer f.Body.Close()
	same := true
	buf := make([]byte, 128<<10)
	for want := r.data(name); ; {
		k, err := f.Body.Read(buf)
		same = same && k <= len(want) && bytes.Equal(buf[:k], want[:k])
		want = want[min(k, len(want)):]
		switch n += int64(k); {
		case err == io.EOF && (!same || len(want) > 0):
			r.t.Errorf("%s: a complete wrong file", name)
			return n, nil
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}
