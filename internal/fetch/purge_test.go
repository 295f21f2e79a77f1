package fetch

import (
	"io"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// purge runs Purge to its end.
func (r *rig) purge(s Scope) Purged {
	r.t.Helper()
	p, err := r.Purge(r.t.Context(), s, digest.Digest{})
	if err != nil || p.More {
		r.t.Fatalf("%+v, %v", p, err)
	}
	return p
}

// A purge removes what is only in its scope: no Release file, nothing that is pinned,
// read, or listed by another host.
func TestPurge(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, aptest.Suite{}, map[string]int{"pinned": 3000, "read": 4000})
	r.update()
	for name := range r.files {
		r.want(r.packageAt(name), r.files[name].Data)
	}
	host := r.at("x").Host
	pinned, read := digest.Of(r.files["pinned"].Data), digest.Of(r.files["read"].Data)
	must(t, r.store.Pin(pinned, store.ByAdmin))
	reader, err := r.store.Open(read)
	must(t, err)
	defer reader.Close()

	if p := r.purge(Scope{Host: "other.example.org"}); p != (Purged{}) {
		t.Errorf("of a host that nothing is of: %+v", p)
	}
	if p := r.purge(Scope{Host: host, Path: "/debian/pool/main/s"}); p.Files != 1 || p.Bytes != int64(len(r.files["small"].Data)) {
		t.Errorf("of one directory: %+v, want the file of package small", p)
	}
	if p := r.purge(Scope{Host: host, Path: "/debian/pool/main/l/larg"}); p.Files != 0 {
		t.Errorf("of a part of a name: %+v", p)
	}
	p := r.purge(Scope{Host: host})
	if p.Pinned < 2 || p.InUse != 1 || p.Shared != 0 || p.Files != 2 { // the large package and the index
		t.Errorf("of all: %+v", p)
	}
	for name, f := range r.files {
		if held := r.held(digest.Of(f.Data)); held != (name == "pinned" || name == "read") {
			t.Errorf("%s is held: %v", name, held)
		}
	}
	before := r.taken.Load()
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	if r.taken.Load() == before {
		t.Error("what was purged did not come from the mirror again")
	}
}

// What two hosts list stays when one of them is purged.
func TestPurgeOfWhatIsElsewhereToo(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	other := r.second()
	r.want(r.packageAt("small"), r.files["small"].Data)
	p := r.purge(Scope{Host: other.Addr()})
	if p.Files != 0 || p.Shared == 0 || !r.held(digest.Of(r.files["small"].Data)) {
		t.Errorf("purged %+v", p)
	}
}

// A file that no index lists is where it was asked for.
func TestPurgeOfUnknownFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	ask := func(l catalog.Location) digest.Digest {
		f, err := r.Get(t.Context(), Request{Entry: catalog.Entry{Location: l, Size: -1}})
		must(t, err)
		defer f.Body.Close()
		b, err := io.ReadAll(f.Body)
		must(t, err)
		return digest.Of(b)
	}
	l := r.at(r.packageAt("small"))
	d := ask(l) // no Release is known yet
	if p := r.purge(Scope{Host: l.Host, Path: "/debian/pool/main/l"}); p.Files != 0 || !r.held(d) {
		t.Errorf("of another directory: %+v", p)
	}
	if p := r.purge(Scope{Host: l.Host, Path: l.Path}); p.Files != 1 || r.held(d) {
		t.Errorf("of the file: %+v", p)
	}
	ask(l)
	other := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	other.Publish("/debian", r.archive.Publish(time.Now()))
	ask(location(t, other, r.packageAt("small")))
	if p := r.purge(Scope{Host: l.Host}); p.Files != 0 || p.Shared != 1 || !r.held(d) {
		t.Errorf("of what was asked for elsewhere too: %+v", p)
	}
	if p := r.purge(Scope{Host: "unknown.example.org"}); p.Files != 0 {
		t.Errorf("%+v", p)
	}
}

// A purge that takes too long goes on where it was.
func TestPurgeGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	first, err := r.Purge(t.Context(), Scope{Host: r.at("x").Host}, digest.Digest{})
	must(t, err)
	for i := range first.Next {
		first.Next[i] = 0xff
	}
	if p, err := r.Purge(t.Context(), Scope{Host: r.at("x").Host}, first.Next); err != nil || p.Files+p.Pinned != 0 {
		t.Errorf("behind the last digest: %+v, %v", p, err)
	}
}
