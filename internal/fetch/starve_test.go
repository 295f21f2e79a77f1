package fetch

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/front"
)

// Files that a mirror drips keep nobody from an update and from packages of that
// mirror, whoever asked for how many of them: not even the client that did.
func TestSlowFilesStarveNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	t.Parallel()
	for _, c := range []struct {
		files, clients int
		size           int
		other          bool          // the update is another client's
		quick          time.Duration // how long a large file that comes quickly may take
	}{
		{files: 16, clients: 1, size: 400 << 10, quick: 4 * time.Second},
		{files: 60, clients: 1, size: 400 << 10, quick: 12 * time.Second},
		{files: 60, clients: 1, size: 400 << 10, other: true, quick: 4 * time.Second},
		{files: 60, clients: 20, size: 400 << 10, other: true, quick: 12 * time.Second},
		{files: 60, clients: 1, size: 100 << 10, quick: 12 * time.Second}, // small ones
	} {
		t.Run(fmt.Sprintf("%d files of %d kB, %d clients, other %v", c.files, c.size>>10, c.clients, c.other), func(t *testing.T) {
			t.Parallel()
			sizes := map[string]int{"quick": 2 << 20}
			for i := range c.files {
				sizes[fmt.Sprintf("slow%d", i)] = c.size
			}
			r := newRigWith(t, aptest.Suite{}, sizes, noTTL)
			r.update()
			drip := r.mirror.Inject("*/slow*", aptest.Slow(4000))
			for i := range c.files {
				r.begin(byte(1+i%c.clients), r.packageAt(fmt.Sprintf("slow%d", i)))
			}
			must(t, drip.Await(t.Context(), 16))
			client := byte(1)
			if c.other {
				client = 100
			}
			r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
			r.publish()
			limit := 4 * time.Second
			if c.size <= smallSize { // they have the reserve, until they are slow
				limit = c.quick
			}
			r.within(client, limit, inRelease, "dists/stable/main/binary-amd64/Packages.xz", r.packageAt("small"))
			r.within(client, c.quick, r.packageAt("quick"))
		})
	}
}

// Clients that take nothing of what they asked for hold no connection to the mirror.
func TestSlowClientsStarveNobody(t *testing.T) {
	t.Parallel()
	sizes := map[string]int{"quick": 2 << 20}
	for i := range 40 {
		sizes[fmt.Sprintf("unread%d", i)] = 400 << 10
	}
	r := newRigWith(t, aptest.Suite{}, sizes, noTTL)
	r.update()
	for i := range 40 {
		f, err := r.get(t.Context(), r.packageAt(fmt.Sprintf("unread%d", i)), digest.Digest{})
		must(t, err)
		defer f.Body.Close()
	}
	r.within(100, 4*time.Second, inRelease, "dists/stable/main/binary-amd64/Packages.xz", r.packageAt("small"), r.packageAt("quick"))
}

// begin has a client ask for a path, which is read until the test ends.
func (r *rig) begin(client byte, path string) {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	r.t.Cleanup(func() { cancel(); r.Fetcher.Close(); <-ended })
	go func() {
		defer close(ended)
		_ = r.readFor(ctx, client, path)
	}()
}

// within fails the test if a client does not get all paths, one after the other, in time.
func (r *rig) within(client byte, limit time.Duration, paths ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	for _, path := range paths {
		begun := time.Now()
		err := r.readFor(ctx, client, path)
		r.t.Logf("%s: %.2f s", path, time.Since(begun).Seconds())
		if err != nil {
			r.t.Errorf("%s within %v: %v", path, limit, err)
			return
		}
	}
}

// readFor reads a path whole, as a client with that last byte in its address.
func (r *rig) readFor(ctx context.Context, client byte, path string) error {
	e := r.catalog.Resolve(ctx, r.at(path), func(catalog.Location) digest.Digest { return digest.Digest{} })
	f, err := r.Get(ctx, Request{Entry: e, Party: front.PartyOf(netip.AddrFrom4([4]byte{10, 0, 0, client}))})
	if err != nil {
		return err
	}
	defer f.Body.Close()
	if f.Stale != "" {
		return fmt.Errorf("served as stale: %s", f.Stale)
	}
	_, err = io.Copy(io.Discard, f.Body)
	return err
}
