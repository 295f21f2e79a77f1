package store

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSpans compares spans with a plain set of bytes.
func TestSpans(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	const size = 40
	for range 300 {
		var s spans
		var model [size]bool
		for range 12 {
			off := rnd.Int64N(size)
			end := off + rnd.Int64N(size-off+1)
			s.add(off, end)
			for i := off; i < end; i++ {
				model[i] = true
			}
			checkSpans(t, s, model[:])
			cut := rnd.Int64N(size)
			clipped := slices.Clone(model[:])
			clear(clipped[cut:])
			checkSpans(t, s.clip(cut), clipped)
			if rnd.IntN(3) == 0 {
				s.remove(off, off+3)
				clear(model[off:min(off+3, size)])
				checkSpans(t, s, model[:])
			}
		}
	}
}

// TestSpansTogether compares what is made of two sets with plain sets of bytes.
func TestSpansTogether(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	const size = 40
	for range 1000 {
		var s, other spans
		for range 4 {
			off, end := rnd.Int64N(size), rnd.Int64N(size)
			s.add(off, end)
			other.add(end, off)
			other.add(off+3, off+6)
		}
		off, end := rnd.Int64N(size), rnd.Int64N(size)
		var in, both, rest [size + 6]bool
		for i := range int64(len(in)) {
			has, otherHas := s.available(i) > 0, other.available(i) > 0
			in[i] = has && off <= i && i < end
			both[i], rest[i] = has && otherHas, has && !otherHas
		}
		checkSpans(t, s.within(off, end), in[:])
		checkSpans(t, s.common(other), both[:])
		checkSpans(t, s.without(other), rest[:])
	}
}

func checkSpans(t *testing.T, s spans, model []bool) {
	t.Helper()
	var total, end int64
	rest := int64(0)
	var holes []Range
	for i := int64(len(model)) - 1; i >= 0; i-- {
		if model[i] {
			rest++
			total++
			end = max(end, i+1)
		} else {
			rest = 0
			if n := len(holes); n > 0 && holes[n-1].Off == i+1 {
				holes[n-1].Off = i
			} else {
				holes = append(holes, Range{i, i + 1})
			}
		}
		if got := s.available(i); got != rest {
			t.Fatalf("%v: available(%d): got %d, want %d", s, i, got, rest)
		}
	}
	slices.Reverse(holes)
	if got := s.missing(0, int64(len(model))); !slices.Equal(got, holes) {
		t.Fatalf("%v: missing: got %v, want %v", s, got, holes)
	}
	if s.total() != total || s.end() != end {
		t.Fatalf("%v: total %d, end %d, want %d, %d", s, s.total(), s.end(), total, end)
	}
	for i := 1; i < len(s); i++ {
		if s[i-1].End >= s[i].Off {
			t.Fatalf("%v: spans touch", s)
		}
	}
}

func TestMapKeepsWholeBlocks(t *testing.T) {
	t.Parallel()
	const k = blockSize
	for name, tt := range map[string]struct {
		in, want blockMap
	}{
		"nothing":          {blockMap{10 * k, nil, nil}, blockMap{10 * k, nil, nil}},
		"less than one":    {blockMap{10 * k, spans{{0, k - 1}}, nil}, blockMap{10 * k, nil, nil}},
		"rounded inwards":  {blockMap{10 * k, spans{{1, 3*k + 1}, {5 * k, 6 * k}}, nil}, blockMap{10 * k, spans{{k, 3 * k}, {5 * k, 6 * k}}, nil}},
		"short last block": {blockMap{9*k + 7, spans{{8 * k, 9*k + 7}}, spans{{9 * k, 9*k + 7}}}, blockMap{9*k + 7, spans{{8 * k, 9*k + 7}}, spans{{9 * k, 9*k + 7}}}},
		"unknown size":     {blockMap{-1, spans{{0, 9*k + 7}}, spans{{0, 9*k + 7}}}, blockMap{-1, spans{{0, 9 * k}}, spans{{0, 9 * k}}}},
		"all":              {blockMap{17 * k, spans{{0, 17 * k}}, spans{{0, 17 * k}}}, blockMap{17 * k, spans{{0, 17 * k}}, spans{{0, 17 * k}}}},
		"some trusted":     {blockMap{17 * k, spans{{0, 17 * k}}, spans{{1, 3*k - 1}, {9 * k, 10 * k}}}, blockMap{17 * k, spans{{0, 17 * k}}, spans{{k, 2 * k}, {9 * k, 10 * k}}}},
		"empty blob":       {blockMap{0, nil, nil}, blockMap{0, nil, nil}},
	} {
		got, err := decodeMap(tt.in.encode())
		if err != nil || !got.equal(tt.want) {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, tt.want)
		}
	}
}

func (m blockMap) equal(other blockMap) bool {
	return m.size == other.size && slices.Equal(m.there, other.there) && slices.Equal(m.trusted, other.trusted)
}

// A map that trusts blocks that are not there, or of an older form, is no map to go by.
func TestMapTrustsOnlyWhatIsThere(t *testing.T) {
	t.Parallel()
	b := blockMap{10 * blockSize, spans{{0, 3 * blockSize}}, spans{{2 * blockSize, 5 * blockSize}}}.encode()
	m, err := decodeMap(b)
	if want := (spans{{2 * blockSize, 3 * blockSize}}); err != nil || !slices.Equal(m.trusted, want) {
		t.Errorf("got %v, %v, want %v trusted", m, err, want)
	}
	older := binary.BigEndian.AppendUint64([]byte("mpmap\x00\x00\x01"), 10*blockSize)
	older = append(older, 7)
	older = binary.BigEndian.AppendUint32(older, crc32.ChecksumIEEE(older))
	if m, err := decodeMap(older); err == nil {
		t.Errorf("a map of the older form: got %v, want an error", m)
	}
}

func FuzzDecodeMap(f *testing.F) {
	f.Add(blockMap{1 << 20, spans{{0, 3 * blockSize}, {1<<20 - blockSize, 1 << 20}}, spans{{blockSize, 2 * blockSize}}}.encode())
	f.Add(blockMap{-1, spans{{blockSize, 9 * blockSize}}, spans{{blockSize, 9 * blockSize}}}.encode())
	f.Add([]byte(mapMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMap(b)
		if err != nil {
			return
		}
		if m.size < -1 || m.size >= 0 && m.there.end() > m.size || len(m.trusted.without(m.there)) > 0 {
			t.Fatalf("got %v", m)
		}
		again, err := decodeMap(m.encode())
		if err != nil || !again.equal(m) {
			t.Fatalf("again: got %v, %v, want %v", again, err, m)
		}
	})
}
