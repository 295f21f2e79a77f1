package rings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

const (
	// ringShare is the part of the cache that the packages of all rings may take; each
	// ring has an equal share of it.
	ringShare = 4
	// pastShare is the part that Release files and indices of the past may take, of which
	// one archive has half at most.
	pastShare = 16
	// maxPins bounds the pins of rings and snapshots, some 150 bytes of memory each.
	maxPins = 200_000
	// pastOwner owns the pins of Release files and indices; ringOwner begins the owners of
	// rings' packages, and the name of the ring follows.
	pastOwner = "generations"
	ringOwner = "ring "
)

// pins are the blobs that are pinned for rings and snapshots.
type pins struct {
	mu sync.Mutex // held while a pin is set or released, and guards of
	of map[digest.Digest]*pin
	// bytes is what is pinned, by ring.
	bytes   map[string]int64
	crowded atomic.Bool // a share is used up since the last sweep
	// scanned has the generations whose held indices were pinned.
	scanned map[held]bool
}

// pin is a pinned blob: for which rings, by name, and "" for the past of suites.
type pin struct {
	size  int64
	rings []string
}

func ownerOf(ring string) string {
	if ring == "" {
		return pastOwner
	}
	return ringOwner + ring
}

// findPins reads from the store what earlier runs pinned.
func (r *Rings) findPins(ctx context.Context) error {
	for info, err := range r.store.All() {
		if err != nil || ctx.Err() != nil {
			return err
		}
		for _, owner := range info.Pins {
			ring, isRing := strings.CutPrefix(owner, ringOwner)
			if owner == pastOwner {
				ring, isRing = "", true
			}
			if isRing {
				r.pins.mu.Lock()
				r.pins.note(info.Digest, info.Size, ring)
				r.pins.mu.Unlock()
			}
		}
	}
	return nil
}

// note records a pin. The caller holds mu.
func (p *pins) note(d digest.Digest, size int64, ring string) {
	if p.of[d] == nil {
		p.of[d] = &pin{size: size}
	}
	if o := p.of[d]; !slices.Contains(o.rings, ring) {
		o.rings = append(o.rings, ring)
		p.bytes[ring] += o.size
	}
}

// Used has a ring hold a file that a client of it was sent; with "" the client has it as
// it was at some time, and what a Release lists is held for that.
func (r *Rings) Used(name string, e catalog.Entry) {
	if !e.Signed || name == "" && e.Suite == (catalog.Location{}) {
		return
	}
	owner := name
	if e.Suite != (catalog.Location{}) {
		owner = "" // what a Release lists is held for the generation
	}
	if err := r.pin(e.Digest, owner); err != nil && !isMissing(err) {
		r.log.Debug("file not held for a ring", "ring", name, "digest", e.Digest, "err", err)
	}
}

// pinned is how many bytes are pinned for a ring.
func (p *pins) pinned(ring string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes[ring]
}

// errFull says that a share of the cache is used up.
var errFull = errors.New("its share of the cache is used up")

// pin pins a held blob for a ring, or for the past, as far as there is room in its share;
// else the error is errFull, and a sweep makes room.
func (r *Rings) pin(d digest.Digest, ring string) error {
	r.pins.mu.Lock()
	defer r.pins.mu.Unlock()
	if o := r.pins.of[d]; o != nil && slices.Contains(o.rings, ring) {
		return nil
	}
	info, err := r.store.Stat(d)
	if err != nil {
		return err
	}
	if len(info.Private) > 0 {
		return nil
	}
	if r.pins.bytes[ring]+info.Size > r.share(ring) || len(r.pins.of) >= maxPins {
		r.pins.crowded.Store(true)
		if ring != "" {
			r.faults.set(ring, true)
		}
		return errFull
	}
	if err := r.store.Pin(d, ownerOf(ring)); err != nil {
		return err
	}
	r.pins.note(d, info.Size, ring)
	return nil
}

// share is how many bytes may be pinned for a ring, or for the past of all suites.
func (r *Rings) share(ring string) int64 {
	quota := r.store.Usage().QuotaBytes
	if ring == "" {
		return quota / pastShare
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return quota / ringShare / int64(max(len(r.rings)-1, 1))
}

// unpin releases a pin. The caller holds pins.mu.
func (r *Rings) unpin(d digest.Digest, ring string) {
	if err := r.store.Unpin(d, ownerOf(ring)); err != nil && !isMissing(err) {
		r.log.Warn("pin of a ring not released", "digest", d, "ring", ring, "err", err)
		return
	}
	o := r.pins.of[d]
	r.pins.bytes[ring] -= o.size
	if o.rings = slices.DeleteFunc(o.rings, func(name string) bool { return name == ring }); len(o.rings) == 0 {
		delete(r.pins.of, d)
	}
}

// faults are the rings whose share is used up.
type faults struct {
	mu   sync.Mutex // guards full
	full map[string]bool
}

func (f *faults) set(ring string, full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full == nil {
		f.full = make(map[string]bool)
	}
	if f.full[ring] = full; !full {
		delete(f.full, ring)
	}
}

// Full returns what cannot be held any more for want of room, in words.
func (r *Rings) Full() (all []string) {
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	for ring := range r.faults.full {
		all = append(all, fmt.Sprintf("ring %s holds as many packages as it may, and others that its clients use may be evicted before it is promoted; "+
			"promote it, or give the cache more room (MILLPOND_CACHE_SIZE)", ring))
	}
	slices.Sort(all)
	return all
}

// unkept reports whether err says that a blob is not there, has too many pins or that
// there is no room for one more.
func unkept(err error) bool {
	return isMissing(err) || errors.Is(err, store.ErrTooManyPins) || errors.Is(err, errFull)
}
