package keyring

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A signature by an unknown key says where GnuPG was told that it is.
func TestWhere(t *testing.T) {
	t.Parallel()
	k := mustLoad(t, "testdata/keys")
	_, _, err := k.Clearsigned(testdata(t, "InRelease.where"))
	var unknown *UnknownKeyError
	want := []string{"https://archive.example.org/policy.html", "hkps://keys.example.org"}
	if !errors.As(err, &unknown) || !slices.Equal(unknown.Where, want) || !slices.Equal(unknown.Keys, []string{"7773B4170A2F32BF4286191208874A3497193D42"}) {
		t.Errorf("got %+v", err)
	}
}

func TestIsWhere(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]bool{
		"https://archive.example.org/key.asc": true, "http://archive.example.org": true, "hkp://keys.example.org": true,
		"": false, "archive.example.org": false, "javascript:alert(1)": false, "file:///etc/passwd": false, "https:///x": false,
		"https://user@archive.example.org/": false, "https://archive.example.org/\nX": false, "https://archive.example.org/ä": false,
		"https://archive.example.org/\"><script>": false, "https://archive.example.org/" + strings.Repeat("x", maxWhere): false,
	} {
		if got := isWhere(uri); got != want {
			t.Errorf("%q: %v", uri, got)
		}
	}
}

// What is malformed is passed over.
func FuzzWhere(f *testing.F) {
	text, sigs, err := splitClearsigned(testdata(f, "InRelease.where"))
	if err != nil || text == nil {
		f.Fatal(err)
	}
	f.Add(sigs[0].Contents)
	f.Add([]byte{4, 0, 0, 0, 0, 9, 255, 255, 255, 255, 255, 26})
	f.Add([]byte{6, 0, 0, 0, 0, 0, 0, 3, 2, 0x80 | 24, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, uri := range where(&packet.OpaquePacket{Contents: b}) {
			if !isWhere(uri) {
				t.Errorf("%q", uri)
			}
		}
	})
}
