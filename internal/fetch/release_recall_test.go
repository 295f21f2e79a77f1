package fetch

import (
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
)

// withKeys replaces the catalog by what the table of that name holds, with
// other keys.
func (r *rig) withKeys(table string, keys *keyring.Keyring) {
	r.t.Helper()
	c, err := catalog.Open(catalog.Options{Table: r.box.DB.Table(table), Keyring: keys, Log: r.box.Log})
	must(r.t, err)
	r.options.Catalog = c
	r.reopen()
}

// A suite whose key comes into the keyring later counts as signed from the next
// check on, though its mirror has nothing new.
func TestUnsignedSuiteIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]aptest.Suite{"InRelease": {}, "Release": {NoInRelease: true}} {
		r := newRig(t, suite, func(o *Options) { o.TTL = 0 })
		signed := func() bool {
			g, ok := r.catalog.Generation(r.dir(), digest.Digest{})
			return ok && g.Signed
		}
		r.withKeys("other keys", new(keyring.Keyring))
		head, _, err := r.read("dists/stable/" + name)
		must(t, err)
		r.want("dists/stable/"+name, head)
		if signed() {
			t.Fatalf("%s: signed without a key", name)
		}
		r.withKeys("other keys", r.box.Keyring)
		r.want("dists/stable/"+name, head)
		if !signed() {
			t.Errorf("%s: not signed with the key", name)
		}
	}
}

// forget replaces the catalog by one that knows nothing, as when its bounds
// have made it forget all suites.
func (r *rig) forget() {
	r.t.Helper()
	r.withKeys("another catalog", r.box.Keyring)
}

// A suite that the catalog has forgotten is known again as soon as a client
// asks for its Release, though the mirror has no other or is away.
func TestForgottenSuiteIsRecalled(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]aptest.Suite{"InRelease": {}, "Release": {NoInRelease: true}} {
		for _, away := range []bool{false, true} {
			r := newRig(t, suite)
			path := "dists/stable/" + name
			head, _, err := r.read(path)
			must(t, err)
			known := func() bool {
				g, ok := r.catalog.Generation(r.dir(), digest.Digest{})
				return ok && g.Signed && g.ID == digest.Of(head)
			}
			if !known() {
				t.Fatalf("%s: not known after the first request", name)
			}
			r.forget()
			found, err := r.releases.OnRecord(r.at("pool/main/s/small/small_1.0_all.deb"))
			if err != nil || len(found) != 1 || found[0] != r.dir() || known() {
				t.Errorf("%s: on record %v, %v; known %v", name, found, err, known())
			}
			if away {
				r.mirror.Down()
			}
			r.want(path, head)
			if !known() {
				t.Errorf("%s, mirror away %v: not known again", name, away)
			}
		}
	}
	r := newRig(t, aptest.Suite{})
	if _, _, err := r.read("dists/nowhere/InRelease"); err == nil {
		t.Error("a suite that does not exist")
	}
	r.update()
	for _, path := range []string{"../other/pool/x_1_all.deb", "../pool/x_1_all.deb"} {
		if found, err := r.releases.OnRecord(r.at(path)); err != nil || len(found) > 0 {
			t.Errorf("%s: on record %v, %v", path, found, err)
		}
	}
	if found, err := r.releases.OnRecord(r.at("x_1_all.deb")); err != nil || len(found) != 1 {
		t.Errorf("on record %v, %v; want the one suite of which a Release is held", found, err)
	}
}
