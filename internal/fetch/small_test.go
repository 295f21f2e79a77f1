package fetch

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// A store that is too small for what its clients want at the moment costs the mirror more
// requests, and no client its file.
func TestStoreTooSmallForTheMoment(t *testing.T) {
	t.Parallel()
	sizes := make(map[string]int)
	for i := range 10 {
		sizes[fmt.Sprintf("tool%02d", i)] = 1200 << 10
	}
	r := newArchiveRig(t, aptest.Suite{}, sizes)
	r.quota = 4 << 20
	r.open()
	r.update()
	var clients sync.WaitGroup
	for client := range 12 {
		order := rand.New(rand.NewPCG(uint64(client), 0)).Perm(len(sizes))
		clients.Go(func() {
			for _, i := range order {
				name := fmt.Sprintf("tool%02d", i)
				f, err := r.get(t.Context(), r.packageAt(name), digest.Digest{})
				if err != nil {
					t.Errorf("client %d: %s: %v", client, name, err)
					continue
				}
				got, err := io.ReadAll(f.Body)
				f.Body.Close()
				if err != nil || !bytes.Equal(got, r.files[name].Data) {
					t.Errorf("client %d: %s: %d bytes, %v", client, name, len(got), err)
				}
			}
		})
	}
	clients.Wait()
}

// The last resort of such a store is a stream of the client's own.
func TestUnkept(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	f, err := r.unkept(t.Context(), Request{Entry: r.entry(r.packageAt("large"))})
	must(t, err)
	defer f.Body.Close()
	got, err := io.ReadAll(f.Body)
	if err != nil || !bytes.Equal(got, r.files["large"].Data) || r.held(digest.Of(got)) {
		t.Errorf("%d bytes, %v, held %v", len(got), err, r.held(digest.Of(got)))
	}
	wrong := r.mirror.Inject("*/large*", aptest.Corrupt(100, 10))
	defer wrong.Release()
	f, err = r.unkept(t.Context(), Request{Entry: r.entry(r.packageAt("large"))})
	if err == nil {
		defer f.Body.Close()
		got, err = io.ReadAll(f.Body)
	}
	if err == nil {
		t.Errorf("wrong bytes are a whole file of %d", len(got))
	}
}
