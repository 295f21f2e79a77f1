package fetch

import (
	"slices"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/store"
)

// What is kept has its file's name, and says where its bytes came from.
func TestKeptWithNameAndSources(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"alone": 10_000, "shared": 20 * mib, "lied": 100_000})
	for _, name := range []string{"a", "b"} {
		r.add(r.seeds, "shared", name, func(b *box) { b.rate = 8 * mib })
	}
	r.add(r.seeds, "lied", "liar", lies(0))
	const index = "dists/stable/main/binary-amd64/"
	gz := r.archive.Publish(time.Now().Add(-time.Hour)).File(index + "Packages.gz")
	readme := []byte("listed nowhere")
	r.mirror.Put("/debian/README", readme, time.Now())
	mirror := []store.Provenance{{Name: r.at("README").Host}}
	for _, tt := range []struct {
		path, name string
		data       []byte
		from       []store.Provenance
	}{
		{r.packageAt("alone"), "alone_1.0_all.deb", r.data("alone"), mirror},
		{r.packageAt("shared"), "shared_1.0_all.deb", r.data("shared"), []store.Provenance{{Peer: true, Name: "a"}, {Peer: true, Name: "b"}}},
		{r.packageAt("lied"), "lied_1.0_all.deb", r.data("lied"), mirror}, // nothing in it is the liar's
		{index + "by-hash/SHA256/" + digest.Of(gz).String(), "Packages.gz", gz, mirror},
		{"README", "README", readme, mirror},
	} {
		r.want(tt.path, tt.data)
		r.quiet()
		info, err := r.store.Stat(digest.Of(tt.data))
		slices.SortFunc(info.From, func(a, b store.Provenance) int { return int(a.Name[0]) - int(b.Name[0]) })
		if err != nil || info.Name != tt.name || !slices.Equal(info.From, tt.from) {
			t.Errorf("%s: name %q from %v, %v; want %q from %v", tt.path, info.Name, info.From, err, tt.name, tt.from)
		}
	}
	head, _, err := r.read("dists/stable/InRelease")
	must(t, err)
	if info, err := r.store.Stat(digest.Of(head)); err != nil || info.Name != "InRelease" || !slices.Equal(info.From, mirror) {
		t.Errorf("the head: %+v, %v", info, err)
	}
}
