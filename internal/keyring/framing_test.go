package keyring

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
)

func TestClearsignedFraming(t *testing.T) {
	t.Parallel()
	key := newKey(t, "key")
	k := ringOf(t, key)
	good := string(clearSign(t, releaseText, key))
	if _, _, err := k.Clearsigned([]byte(good)); err != nil {
		t.Fatalf("the message that the cases change: %v", err)
	}
	replace := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	const unsigned = "Package: evil\n\n"
	for name, in := range map[string]string{
		"empty":                   "",
		"a page of a portal":      "<html><body>Please log in</body></html>",
		"only text":               releaseText,
		"unsigned text before":    unsigned + good,
		"unsigned text after":     good + "\n" + unsigned,
		"text on the last line":   strings.TrimRight(good, "\n") + " evil",
		"two messages":            good + good,
		"two messages, spaced":    good + "\n\n" + good,
		"second begin in text":    replace("Suite:", markers[0]+"\nSuite:"),
		"second signature block":  good + good[strings.Index(good, markers[1]):],
		"unescaped dash in text":  replace("Suite:", "-Suite:"),
		"begin with text behind":  replace(markers[0], markers[0]+" evil"),
		"header like a marker":    replace("Hash:", "-----BEGIN PGP MESSAGE-----\nHash:"),
		"no blank line":           replace("\n\nSuite", "\nSuite"),
		"text between signatures": strings.TrimSpace(good) + "\nevil\n" + good[strings.Index(good, markers[1]):],
		"no signature":            good[:strings.Index(good, markers[1])],
		"no end":                  good[:strings.Index(good, markers[2])],
		"cut in the signature":    good[:strings.Index(good, markers[2])-10] + "\n" + markers[2],
		"signature not base64":    replace(markers[1]+"\n\n", markers[1]+"\n\n!!!!\n"),
		"empty signature":         good[:strings.Index(good, markers[1])] + markers[1] + "\n\n" + markers[2],
		"key for a signature":     good[:strings.Index(good, markers[1])] + string(armored(t, openpgp.SignatureType, public(t, key))),
		"other block, indented":   replace(markers[1]+"\n\n", markers[1]+"\nevil\n -----BEGIN PGP MESSAGE-----\n\n"),
		"message is not first":    "-----BEGIN PGP SIGNATURE-----\n" + good,
		"mark of byte order":      "\ufeff" + good,
		"more signatures than 16": string(clearSign(t, releaseText, repeat(key, maxSignatures+1)...)),
	} {
		text, s, err := k.Clearsigned([]byte(in))
		if !errors.Is(err, ErrMalformed) || text != nil || s != (Signer{}) {
			t.Errorf("%s: got text %q, signer %+v, error %v, want no text and %v", name, text, s, err, ErrMalformed)
		}
	}
	if _, _, err := k.Clearsigned(clearSign(t, releaseText, repeat(key, maxSignatures)...)); err != nil {
		t.Errorf("%d signatures: %v", maxSignatures, err)
	}
}

// TestClearsignedLikeApt: what apt accepts, though nobody should write it.
func TestClearsignedLikeApt(t *testing.T) {
	t.Parallel()
	key, other := newKey(t, "key"), newKey(t, "other")
	k := ringOf(t, key)
	good := string(clearSign(t, releaseText, key))
	foreign := string(clearSign(t, releaseText, other))
	block := func(message string) string { return message[strings.Index(message, markers[1]):] }
	replace := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for name, in := range map[string]string{
		"as written":             good,
		"blanks after markers":   strings.ReplaceAll(good, "-----\n", "----- \t\n"),
		"unknown header":         replace("Hash:", "Charset: utf-8\nHash:"),
		"header without a colon": replace("Hash:", "evil\nHash:"),
		"no header":              replace("Hash: SHA256\n", ""),
		"wrong hash header":      replace("Hash: SHA256", "Hash: MD5"),
		"armor headers":          replace(markers[1]+"\n", markers[1]+"\nVersion: GnuPG v1\nComment: a: b\n"),
		"every line escaped":     replace("Suite:", "- Suite:"),
		"two blocks":             strings.TrimSpace(good) + "\n" + block(foreign),
		"two blocks, the other":  strings.TrimSpace(foreign) + "\n" + block(good),
	} {
		text, s, err := k.Clearsigned([]byte(in))
		if err != nil || string(text) != releaseText || s.Identity != "key <key@deb.example.org>" {
			t.Errorf("%s: got text %q, signer %+v, error %v", name, text, s, err)
		}
	}
}

func repeat(e *openpgp.Entity, n int) []*openpgp.Entity {
	all := make([]*openpgp.Entity, n)
	for i := range all {
		all[i] = e
	}
	return all
}

func TestDetachedFraming(t *testing.T) {
	t.Parallel()
	key, other := newKey(t, "key"), newKey(t, "other")
	k := ringOf(t, key)
	sig := detachSign(t, releaseText, key, nil)
	block := armored(t, openpgp.SignatureType, sig)
	first := armored(t, openpgp.SignatureType, detachSign(t, releaseText, other, nil))
	for _, tt := range []struct {
		name string
		sig  []byte
		ok   bool
	}{
		{"binary", sig, true},
		{"armored", block, true},
		{"white space around", []byte("\n\n" + string(block) + " \r\n"), true},
		{"CRLF", bytes.ReplaceAll(block, []byte("\n"), []byte("\r\n")), true},
		{"two blocks", append(first, block...), true},
		{"header", bytes.Replace(block, []byte("\n"), []byte("\nComment: x\n"), 1), true},
		{"no blank line", bytes.Replace(block, []byte("\n\n"), []byte("\n"), 1), true},
		{"header without a colon", bytes.Replace(block, []byte("\n"), []byte("\nevil\n"), 1), false},
		{"wrong checksum", regexp.MustCompile(`(?m)^=....$`).ReplaceAll(block, []byte("=AAAA")), true},
		{"no checksum", regexp.MustCompile(`(?m)^=....\n`).ReplaceAll(block, nil), true},
		{"blanks at line ends", bytes.ReplaceAll(block, []byte("\n"), []byte(" \t\n")), true},
		{"empty", nil, false},
		{"a page of a portal", []byte("<html></html>"), false},
		{"text before", append([]byte("evil\n"), block...), false},
		{"text after", append(bytes.Clone(block), "evil\n"...), false},
		{"binary with a tail", append(bytes.Clone(sig), 'x'), false},
		{"cut", sig[:len(sig)-1], false},
		{"cut block", block[:len(block)-20], false},
		{"empty block", armored(t, openpgp.SignatureType, nil), false},
		{"a key", public(t, key), false},
		{"clear-signed text", clearSign(t, releaseText, key), false},
		{"too large", append(bytes.Clone(block), bytes.Repeat([]byte("\n"), maxDetached)...), false},
		{"empty packet", []byte{0xc0 | 2, 0}, false},
	} {
		s, err := k.Detached([]byte(releaseText), tt.sig)
		if tt.ok && err != nil {
			t.Errorf("%s: got %v, want a good signature", tt.name, err)
		}
		if !tt.ok && (!errors.Is(err, ErrMalformed) || s != (Signer{})) {
			t.Errorf("%s: got %+v, %v, want %v", tt.name, s, err, ErrMalformed)
		}
	}
}

// FuzzClearsigned changes a message that real keys signed. Whatever comes out
// as verified must be what was signed, and must be all that the input holds.
// The keys are those of testdata: fuzzing runs in several processes, which
// would each make others.
func FuzzClearsigned(f *testing.F) {
	k := mustLoad(f, "testdata/keys")
	good := testdata(f, "InRelease")
	want, _, err := k.Clearsigned(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append([]byte("Package: evil\n\n"), good...))
	f.Add(append(bytes.Clone(good), good...))
	f.Add(bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")))
	f.Add(testdata(f, "InRelease.sha1"))
	f.Add([]byte(markers[0] + "\n\n" + markers[1] + "\n\n" + markers[2]))
	f.Fuzz(func(t *testing.T, in []byte) {
		text, s, err := k.Clearsigned(in)
		if (err == nil) != (s != Signer{}) {
			t.Errorf("got signer %+v with error %v", s, err)
		}
		if errors.Is(err, ErrMalformed) && text != nil {
			t.Errorf("text %q with %v", text, err)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(text, want) {
			t.Errorf("text %q verified, which nobody signed", text)
		}
		in = bytes.TrimSpace(in)
		if !bytes.HasPrefix(in, []byte(markers[0])) || !bytes.HasSuffix(in, []byte(markers[2])) || len(regexp.MustCompile(`(?m)^`+markers[0]).FindAll(in, -1)) != 1 {
			t.Errorf("verified with something around it: %q", in)
		}
	})
}

// FuzzDetached: no change of a signature makes it fit another text.
func FuzzDetached(f *testing.F) {
	k := mustLoad(f, "testdata/keys")
	release, block := testdata(f, "Release"), testdata(f, "Release.gpg")
	sigs, _, err := dearmor(block, openpgp.SignatureType)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(release, block)
	f.Add(release, sigs)
	f.Add(release, append(bytes.Clone(block), block...))
	f.Add(release, append(legacySignature(), sigs...))
	f.Add(append(bytes.Clone(release), '!'), sigs)
	f.Add([]byte{}, []byte{0xc0 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 4})
	f.Fuzz(func(t *testing.T, text, sig []byte) {
		s, err := k.Detached(text, sig)
		if (err == nil) != (s != Signer{}) {
			t.Errorf("got signer %+v with error %v", s, err)
		}
		if err == nil && !bytes.Equal(text, release) {
			t.Errorf("text %q verified, which nobody signed", text)
		}
	})
}
