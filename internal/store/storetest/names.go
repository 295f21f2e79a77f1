package storetest

import (
	"bytes"
	"slices"
	"testing"

	"millpond/internal/digest"
	"millpond/internal/store"
)

// put stores a blob under a name.
func put(t *testing.T, s *store.Store, seed uint64, m store.Meta) digest.Digest {
	t.Helper()
	b, d := Bytes(seed, 100)
	p, err := s.Partial(d, 100)
	must(t, err)
	write(t, p, b, 0, len(b))
	_, err = p.Commit(m)
	must(t, err)
	return d
}

func names(t *testing.T, s *store.Store) {
	from := []store.Provenance{{Name: "archive.example.org"}, {Peer: true, Name: "12D3"}}
	var want []store.Named
	for i, name := range []string{"a_1_all.deb", "a_1_all.deb", "a_2_all.deb", "ab_1_all.deb", "b_1_all.deb"} {
		want = append(want, store.Named{Name: name, Digest: put(t, s, uint64(i), store.Meta{Name: name, From: from})})
	}
	if bytes.Compare(want[0].Digest[:], want[1].Digest[:]) > 0 {
		want[0], want[1] = want[1], want[0]
	}
	for _, tt := range []struct {
		prefix, after string
		want          []store.Named
	}{
		{"", "", want},
		{"a", "", want[:4]},
		{"a_", "", want[:3]},
		{"a_1_all.deb", "", want[:2]},
		{"c", "", nil},
		{"", want[0].Position(), want[1:]},
		{"a_", want[1].Position(), want[2:3]},
		{"", "a_1_all.deb", want[2:]}, // all of that name are passed
		{"b", "a_1_all.deb", want[4:]},
		{"a_", "b", nil},
	} {
		var got, keys []store.Named
		for i, err := range s.Named(tt.prefix, tt.after) {
			must(t, err)
			n := store.Named{Name: i.Name, Digest: i.Digest}
			if got = append(got, n); i.Position() != n.Position() || i.Size != 100 || !slices.Equal(i.From, from) {
				t.Errorf("blob: %+v", i)
			}
		}
		for n, err := range s.Names(tt.prefix, tt.after) {
			must(t, err)
			keys = append(keys, n)
		}
		if !slices.Equal(got, tt.want) || !slices.Equal(keys, tt.want) {
			t.Errorf("names from %q after %q: got %v and %v, want %v", tt.prefix, tt.after, got, keys, tt.want)
		}
	}
	must(t, s.Remove(want[2].Digest))
	for i, err := range s.Named("a_2", "") {
		t.Errorf("a name of a removed blob: %+v, %v", i, err)
	}
}
