package digest

import (
	"encoding/json"
	"strings"
	"testing"
)

// The SHA-256 of "abc", from FIPS 180-2 appendix B.1.
const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func TestParse(t *testing.T) {
	t.Parallel()
	for _, in := range []string{abc, strings.ToUpper(abc)} {
		d, err := Parse(in)
		if err != nil {
			t.Fatalf("Parse(%q): %v", in, err)
		}
		if d != Of([]byte("abc")) || d.String() != abc || d.Short() != abc[:12] {
			t.Errorf("Parse(%q) = %v", in, d)
		}
	}
	for _, in := range []string{"", "zz", abc[1:], abc + "0", strings.Repeat("g", 64)} {
		if d, err := Parse(in); err == nil || !d.IsZero() {
			t.Errorf("Parse(%q) = %v, %v; want zero and an error", in, d, err)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(map[Digest]Digest{Of(nil): Of([]byte("abc"))})
	if err != nil {
		t.Fatal(err)
	}
	var m map[Digest]Digest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if m[Of(nil)] != Of([]byte("abc")) {
		t.Errorf("round trip gave %v", m)
	}
	var d Digest
	if err := d.UnmarshalText([]byte("nonsense")); err == nil {
		t.Error("UnmarshalText took nonsense")
	}
}

func TestHasher(t *testing.T) {
	t.Parallel()
	h := NewHasher()
	h.Write([]byte("ab"))
	c := h.Clone()
	h.Write([]byte("X"))
	c.Write([]byte("c"))
	if got := c.Digest(); got.String() != abc {
		t.Errorf("clone has %v, want %s", got, abc)
	}
	if h.Digest() != Of([]byte("abX")) {
		t.Error("the original moved with its clone")
	}
	if again := c.Digest(); again.String() != abc {
		t.Error("Digest changed the state")
	}
}
