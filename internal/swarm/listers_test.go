package swarm

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/swarm/inventory"
	"millpond/internal/swarm/quota"
)

// writeListing writes the inventory of a box with made-up blobs.
func writeListing(to io.Writer, entries int) error {
	w := bufio.NewWriterSize(to, 1<<16)
	const part = 4096
	for i := 0; i < entries; i += part {
		flags := byte(0)
		if i == 0 {
			flags |= 1
		}
		if i+part >= entries {
			flags |= 2
		}
		body := []byte{flags, 7}
		for j := range min(part, entries-i) {
			distance := 1 + rand.Uint64N(1<<42)
			if j == 0 {
				distance = uint64(i/part)<<54 + 1
			}
			body = binary.AppendUvarint(body, distance)
		}
		if _, err := w.Write(append(binary.AppendUvarint([]byte{'L'}, uint64(len(body))), body...)); err != nil {
			return err
		}
	}
	return w.Flush()
}

// TestListersShare has identities of one network list all that they can, together,
// and then a box of another network and one of theirs list 10,000 blobs.
func TestListersShare(t *testing.T) {
	t.Parallel()
	const entries, crowd, few = 400_000, 25, 10_000
	v := &inventories{entries: quota.New[lister](entries, networkWeight), told: make(map[p2p.ID]*told)}
	resets := 0
	lists := func(id p2p.ID, at string, n int) *told {
		r := &room{all: v.entries, of: lister{at: partyOf(netip.MustParseAddr(at))}}
		told := &told{inventory.NewSet(r), r, func() error { resets++; return nil }}
		v.told[id] = told
		from, to := io.Pipe()
		go func() { to.CloseWithError(writeListing(to, n)) }()
		if err := v.take(id, told, bufio.NewReader(from)); err != io.EOF {
			t.Fatal(err)
		}
		return told
	}
	for i := range crowd {
		lists(p2p.ID(rune('a'+i)), "10.0.0.1", 60_000)
	}
	if held := entries - v.entries.Free(); held > entries*3/4 {
		t.Errorf("one network has %d of %d entries", held, entries)
	}
	for _, at := range []string{"10.0.0.2", "10.0.0.1"} {
		if got := lists("box at "+p2p.ID(at), at, few).Count(); got != few {
			t.Errorf("of a box at %s %d of %d entries are kept", at, got, few)
		}
	}
	if resets != 0 {
		t.Errorf("%d streams were reset, although all listings had ended", resets)
	}
	for _, told := range v.told {
		told.Close()
	}
	if free := v.entries.Free(); free != entries {
		t.Errorf("%d of %d entries are free at the end", free, entries)
	}
}
