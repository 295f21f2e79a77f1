package store

import (
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
		}
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
		size     int64
		in, want spans
	}{
		"nothing":          {10 * k, nil, nil},
		"less than one":    {10 * k, spans{{0, k - 1}}, nil},
		"rounded inwards":  {10 * k, spans{{1, 3*k + 1}, {5 * k, 6 * k}}, spans{{k, 3 * k}, {5 * k, 6 * k}}},
		"short last block": {9*k + 7, spans{{8 * k, 9*k + 7}}, spans{{8 * k, 9*k + 7}}},
		"unknown size":     {-1, spans{{0, 9*k + 7}}, spans{{0, 9 * k}}},
		"all":              {17 * k, spans{{0, 17 * k}}, spans{{0, 17 * k}}},
		"empty blob":       {0, nil, nil},
	} {
		size, got, err := decodeMap(encodeMap(tt.size, tt.in))
		if err != nil || size != tt.size || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got size %d, %v, %v; want size %d, %v", name, size, got, err, tt.size, tt.want)
		}
	}
}

func FuzzDecodeMap(f *testing.F) {
	f.Add(encodeMap(1<<20, spans{{0, 3 * blockSize}, {1<<20 - blockSize, 1 << 20}}))
	f.Add(encodeMap(-1, spans{{blockSize, 9 * blockSize}}))
	f.Add([]byte(mapMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		size, s, err := decodeMap(b)
		if err != nil {
			return
		}
		if size < -1 || size >= 0 && s.end() > size {
			t.Fatalf("size %d, spans up to %d", size, s.end())
		}
		size2, s2, err := decodeMap(encodeMap(size, s))
		if err != nil || size2 != size || !slices.Equal(s2, s) {
			t.Fatalf("again: got %d, %v, %v, want %d, %v", size2, s2, err, size, s)
		}
	})
}

func TestParseQuota(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Quota{
		"200GB":   {Bytes: 200e9},
		"1.5TiB":  {Bytes: 3 << 39},
		"10 mib":  {Bytes: 10 << 20},
		"80%":     {Percent: 80},
		" 0.5 % ": {Percent: 0.5},
		"1048576": {Bytes: 1 << 20},
		"7b":      {Bytes: 7},
	} {
		if got, err := ParseQuota(in); err != nil || got != want {
			t.Errorf("ParseQuota(%q): got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "GB", "0", "-1GB", "0%", "101%", "12XB", "1e3GB", "0x10", "inf", "NaN%", "9999999PB", "1 2GB", "1.2.3GB", "80%%"} {
		if got, err := ParseQuota(in); err == nil {
			t.Errorf("ParseQuota(%q): got %+v, want an error", in, got)
		}
	}
}

func FuzzParseQuota(f *testing.F) {
	for _, s := range []string{"200GB", "1.5TiB", "80%", "1048576", ".%", "9e99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ParseQuota(s)
		if err != nil {
			return
		}
		if n, err := q.of(1 << 40); q.Percent < 0 || q.Percent > 100 || (q.Bytes != 0) == (q.Percent != 0) || err == nil && n <= 0 {
			t.Fatalf("ParseQuota(%q): got %+v, %d bytes of 1 TiB", s, q, n)
		}
	})
}
