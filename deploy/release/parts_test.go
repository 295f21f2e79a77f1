package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// newKey makes a file with an OpenPGP key, with a passphrase if that is not empty.
func newKey(t *testing.T, passphrase []byte) string {
	t.Helper()
	config := &packet.Config{Time: func() time.Time { return time.Unix(1_600_000_000, 0) }, Algorithm: packet.PubKeyAlgoEdDSA}
	key, err := openpgp.NewEntity("release", "", "release@millpond.invalid", config)
	if err != nil {
		t.Fatal(err)
	}
	if len(passphrase) > 0 {
		if err := key.EncryptPrivateKeys(passphrase, config); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.SerializePrivateWithoutSigning(w, config); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.asc")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Keys that cannot sign are refused with what to do.
func TestSigned(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("sums"), 0o644); err != nil {
		t.Fatal(err)
	}
	good := newKey(t, nil)
	if a, err := signed(good, file, releaseTime); err != nil || !bytes.HasPrefix(a, []byte("-----BEGIN PGP SIGNATURE-----\n")) {
		t.Errorf("%s, %v", a, err)
	}
	for _, test := range []struct {
		key  string
		at   time.Time
		want string
	}{
		{file, releaseTime, "--armor"},
		{newKey(t, []byte("word")), releaseTime, "passphrase"},
		{good, time.Unix(1_500_000_000, 0), "made before"},
		{file + ".none", releaseTime, "no such file"},
	} {
		if _, err := signed(test.key, file, test.at); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.key, err, test.want)
		}
	}
}

// What the last stage of a Dockerfile says is read, and what would be left out is an error.
func TestParseStage(t *testing.T) {
	t.Parallel()
	args := map[string]string{"VERSION": "1.2.3"}
	s, err := parseStage("FROM golang AS build\nRUN make\nFROM scratch\nARG VERSION=devel\nLABEL a=\"b c\" \\\n\td=$VERSION\n# no\nCOPY --from=build --chown=1:2 /a /b/\nEXPOSE 80 81/udp\nHEALTHCHECK --interval=3s CMD [\"x\"]\n", args)
	c := s.config
	if err != nil || c.Labels["a"] != "b c" || c.Labels["d"] != "1.2.3" || len(s.copies) != 1 || len(c.ExposedPorts) != 2 || c.Healthcheck.Interval != 3*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
	if got := s.copies[0]; got.stage != "build" || got.uid != 1 || got.gid != 2 || got.from != "/a" || got.to != "/b/" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{
		"FROM debian\nUSER a\n",
		"FROM scratch\nRUN make\n",
		"FROM scratch\nARG OTHER\n",
		"FROM scratch\nCOPY a b c\n",
		"FROM scratch\nCOPY --link a b\n",
		"FROM scratch\nCOPY --chown=user:group a b\n",
		"FROM scratch\nLABEL a\n",
		"FROM scratch\nLABEL a=\"b\n",
		"FROM scratch\nHEALTHCHECK NONE\n",
		"FROM scratch\nHEALTHCHECK --retries=3 CMD [\"x\"]\n",
		"FROM scratch\nENTRYPOINT millpond\n",
	} {
		if s, err := parseStage(bad, args); err == nil {
			t.Errorf("%q gives %+v", bad, s)
		}
	}
	r := release{options: options{root: t.TempDir(), trust: t.TempDir()}}
	for _, c := range []copyLine{
		{stage: "build", from: "/other", to: "/other", line: "COPY --from=build /other /other"},
		{stage: "trust", from: "/usr/share/keyrings", to: "/usr/share/keyrings"},
		{from: "LICENSE", to: "/LICENSE"},
	} {
		if got, err := r.copied(c, program{}); err == nil {
			t.Errorf("%+v copies %v", c, got)
		}
	}
}

// Each command and setting of the help is in the man page, and nothing in it means
// something to roff.
func TestManual(t *testing.T) {
	t.Parallel()
	const help = `about it.

Commands; more:
  millpond serve          serve; also without a command
  millpond pin WHAT       exempt files
  millpond drain [A [B]]  take out

Exit codes: 0 done.

Settings, all from the environment:
  MILLPOND_A      :3142  a \ 'thing'
                           takes host:port
  MILLPOND_TOKEN  -      .word
                           takes a word
                           or, from a file, MILLPOND_TOKEN_FILE
`
	page, err := manual(help, version{number: "1.2.3", time: releaseTime}, func(command string) (string, error) {
		return "millpond " + command + "\n\nWhat " + command + " does.\n.More of it.\n\nExit codes: 0.", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n.TH MILLPOND 1 \"2026\\-11\\-28\" \"millpond 1.2.3\"\n", "\nabout it.\n",
		"\n\\fBserve\\fR\nserve; also without a command.\n\\&.More of it.\n", "\n\\fBpin\\fR WHAT\n", "\n\\fBdrain\\fR [A [B]]\ntake out.\n",
		"\n\\fBMILLPOND_A\\fR (by default :3142)\na \\e \\(aqthing\\(aq.\nIt takes host:port.\n",
		"\n\\fBMILLPOND_TOKEN\\fR\n\\&.word.\nIt takes a word.\nIt can come from a file, which \\fBMILLPOND_TOKEN_FILE\\fR names.\n",
	} {
		if !strings.Contains("\n"+string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if _, err := manual("something else", version{}, nil); err == nil {
		t.Error("a page was made of something else")
	}
}
