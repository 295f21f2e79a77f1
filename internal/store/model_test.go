package store

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"millpond/internal/digest"
)

// model is what a store of whole blobs should hold, least recently used first.
type model struct {
	quota int
	held  []digest.Digest
	size  map[digest.Digest]int
	pins  map[digest.Digest][]string // owners, sorted
	open  map[digest.Digest]*Blob
}

func (m *model) bytes() (n int) {
	for _, d := range m.held {
		n += m.size[d]
	}
	return n
}

func (m *model) drop(d digest.Digest) {
	m.held = slices.DeleteFunc(m.held, func(h digest.Digest) bool { return h == d })
	delete(m.pins, d)
}

func (m *model) touch(d digest.Digest) {
	m.held = append(slices.DeleteFunc(m.held, func(h digest.Digest) bool { return h == d }), d)
}

// put says whether a put of n bytes must succeed, and evicts.
func (m *model) put(d digest.Digest, n int) bool {
	unpinned := 0
	for _, h := range m.held {
		if len(m.pins[h]) == 0 {
			unpinned += m.size[h]
		}
	}
	if m.bytes()-unpinned+n > m.quota {
		return false // nothing is evicted
	}
	for _, h := range slices.Clone(m.held) {
		if m.bytes()+n <= m.quota {
			break
		}
		if len(m.pins[h]) == 0 && m.open[h] == nil {
			m.drop(h)
		}
	}
	if m.bytes()+n > m.quota {
		return false // all else is open
	}
	m.held, m.size[d] = append(m.held, d), n
	return true
}

// TestModel does random things to a store and to the model.
func TestModel(t *testing.T) {
	t.Parallel()
	chance := uint64(time.Now().UnixNano())
	t.Log("chance:", chance)
	rnd := rand.New(rand.NewPCG(chance, 0))
	b := newBox(t, 30_000)
	m := model{30_000, nil, map[digest.Digest]int{}, map[digest.Digest][]string{}, map[digest.Digest]*Blob{}}
	for step := range 400 {
		seed := rnd.IntN(40)
		n := 200 * seed
		data, d := content(seed, n)
		held := slices.Contains(m.held, d)
		var err error
		want := held
		switch op := rnd.IntN(20); {
		case op < 9:
			var p *Partial
			if p, err = b.Partial(d, int64(n)); err == nil {
				_, _ = p.WriteAt(data, 0)
				_, err = p.Commit(Meta{})
			}
			if want = !held && m.put(d, n); held && errors.Is(err, fs.ErrExist) {
				err, want = nil, true
			}
		case op < 12 && m.open[d] == nil:
			if m.open[d], err = b.Open(d); err != nil {
				delete(m.open, d)
			} else {
				m.touch(d)
			}
		case op < 16 && m.open[d] != nil:
			err, want = m.open[d].Close(), true
			delete(m.open, d)
		case op < 17:
			err = b.Remove(d)
			m.drop(d)
		case op < 19:
			owner := []string{ByAdmin, "a suite"}[rnd.IntN(2)]
			set, change := b.Unpin, cutPin
			if rnd.IntN(4) == 0 {
				set, change = b.Pin, func(pins []string, owner string) ([]string, bool) { return addPin(pins, owner), true }
			}
			if err = set(d, owner); held {
				m.pins[d], _ = change(m.pins[d], owner)
			}
		default:
			for d, blob := range m.open {
				blob.Close()
				delete(m.open, d)
			}
			b.restart()
			want = true
		}
		if (err == nil) != want {
			t.Fatalf("step %d: got error %v, want success %t", step, err, want)
		}
		m.compare(t, b, step)
	}
	for _, blob := range m.open {
		blob.Close()
	}
	b.check()
}

func (m *model) compare(t *testing.T, b *box, step int) {
	t.Helper()
	var got []digest.Digest
	for i, err := range b.All() {
		if err != nil {
			t.Fatal(err)
		}
		if i.Size != int64(m.size[i.Digest]) || !slices.Equal(i.Pins, m.pins[i.Digest]) || i.Pinned != (len(i.Pins) > 0) {
			t.Fatalf("step %d: got %+v, want %d bytes, pinned by %q", step, i, m.size[i.Digest], m.pins[i.Digest])
		}
		got = append(got, i.Digest)
	}
	want := slices.SortedFunc(slices.Values(m.held), func(x, y digest.Digest) int { return slices.Compare(x[:], y[:]) })
	if !slices.Equal(got, want) {
		t.Fatalf("step %d: the store holds %v, want %v", step, got, want)
	}
	if u := b.Usage(); u.Blobs != int64(len(want)) || u.Bytes != int64(m.bytes()) || u.Partial != 0 {
		t.Fatalf("step %d: usage %+v, want %d blobs of %d bytes", step, u, len(want), m.bytes())
	}
}
