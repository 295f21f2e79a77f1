package faults

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/release"
	"millpond/internal/aptest"
)

// versioned is a box of changing versions with a mirror.
type versioned struct {
	*box.Box
	t      *testing.T
	mirror *aptest.Mirror
	held   []aptest.File // packages that the box got from the mirror
}

// wantHeld gets all that is held through the box.
func (v *versioned) wantHeld() {
	v.t.Helper()
	proxy, err := url.Parse(v.URL)
	if err != nil {
		v.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}
	for _, f := range v.held {
		resp, err := client.Get(v.mirror.URL("/debian/" + f.Path))
		if err != nil {
			v.t.Errorf("%s: %v", f.Path, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, f.Data) {
			v.t.Errorf("%s: %s, %d bytes, want the %d that were published; %v", f.Path, resp.Status, len(body), len(f.Data), err)
		}
	}
}

// identity is the key with which other boxes know this one.
func (v *versioned) identity() string {
	v.t.Helper()
	key, err := os.ReadFile(filepath.Join(v.Data, "identity.key"))
	if err != nil {
		v.t.Fatal(err)
	}
	return string(key)
}

// figures are sums of the ledger and of the store.
func (v *versioned) figures() string {
	v.t.Helper()
	s := v.Summary()
	return fmt.Sprintf("since %v: %d bytes to clients, %d from mirrors, %d blobs of %d bytes",
		s.Since.UTC(), s.ClientBytes, s.MirrorBytes, s.Blobs, s.BlobBytes)
}

// restart has another program go on with the box's data, and compares figures and
// identity.
func (v *versioned) restart(program string) {
	v.t.Helper()
	figures, identity := v.figures(), v.identity()
	v.Stop()
	v.Program = program
	v.Run()
	if now := v.figures(); now != figures {
		v.t.Errorf("%s counts %s; before it: %s", filepath.Base(program), now, figures)
	}
	if v.identity() != identity {
		v.t.Errorf("%s has another identity than the program before it", filepath.Base(program))
	}
}

// TestVersionsOfData has this version go on with the data of the earliest one that
// counts, and that one with the data of this: each serves all without the mirror, with
// the same figures and under the same identity. Going back works as long as both keep
// the same format: the earlier version does not read its number.
func TestVersionsOfData(t *testing.T) {
	earlier := release.Program(t, release.Earliest)
	key, keys := aptest.NewKey("archive"), t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	archive := aptest.NewArchive(key)
	v := &versioned{t: t, mirror: aptest.NewMirror(t, aptest.MirrorOptions{})}
	for i := range 20 {
		v.held = append(v.held, archive.Add(aptest.Package{Name: fmt.Sprintf("pkg%02d", i), Version: "1.0", Size: 1000 << (i % 12)}))
	}
	v.mirror.Publish("/debian", archive.Publish(time.Now().Add(-time.Hour)))
	v.Box = box.StartProgram(t, earlier, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8")
	update := func() {
		t.Helper()
		c := aptest.NewClient(t)
		c.Trust(key)
		c.Proxy(v.URL)
		c.Sources(v.mirror.Source("/debian", "stable", "main"))
		c.MustApt("update", "--error-on=any")
	}
	update()
	v.wantHeld()
	if v.Summary().Blobs < int64(len(v.held)) {
		t.Fatalf("the earlier version keeps %s", v.figures())
	}

	v.mirror.Down()
	format := filepath.Join(v.Data, "format")
	for _, program := range []string{"", earlier, ""} { // "": this version
		v.restart(program)
		v.wantHeld()
		update()
		if text, err := os.ReadFile(format); err != nil || string(text) != "1\n" {
			t.Errorf("the format is %q, %v", text, err)
		}
	}
}
