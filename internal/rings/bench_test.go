package rings

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// BenchmarkChanges compares two generations of a suite as large as Debian's main, 63,000
// packages, of which a tenth is new.
func BenchmarkChanges(b *testing.B) {
	r := newRig(b, "prod delay=3d")
	const index = "main/binary-riscv64/Packages"
	for n := range 2 {
		var text bytes.Buffer
		for i := range 63_000 {
			version := 1
			if i%10 == 0 {
				version += n
			}
			name := fmt.Sprintf("package%05d", i)
			fmt.Fprintf(&text, "Package: %s\nFilename: pool/main/p/%s/%s_1.%d-1_riscv64.deb\nSize: 1\nSHA256: %s\n\n", name, name, name, version, digest.Of(fmt.Append(nil, i, version)))
		}
		r.archive.AddFile("stable", index, text.Bytes())
		r.publish()
		e := r.box.Catalog.Resolve(b.Context(), at(b, stable+"/"+index), nil)
		begun := time.Now()
		if err := r.box.Catalog.LearnIndex(b.Context(), e, bytes.NewReader(text.Bytes())); err != nil {
			b.Fatal(err)
		}
		b.Logf("index read in %v", time.Since(begun))
		if n == 0 {
			r.Begin("prod", at(b, stable))
		}
		r.clock = r.clock.Add(time.Hour)
	}
	var c Changes
	for b.Loop() {
		var err error
		if c, err = r.Changes(b.Context(), "prod", at(b, stable)); err != nil {
			b.Fatal(err)
		}
	}
	if c.Replaced != 6301 {
		b.Errorf("%+v replaced", c.Replaced)
	}
}

// BenchmarkSweep compares the pins of 50,000 packages of a ring, and of a past of 60
// generations, with what they are for.
func BenchmarkSweep(b *testing.B) {
	r := newRig(b, "prod delay=3d")
	var text bytes.Buffer
	var all []digest.Digest
	for i := range 50_000 {
		data := fmt.Append(nil, i)
		all = append(all, digest.Of(data))
		r.put(data)
		fmt.Fprintf(&text, "Package: p%d\nFilename: pool/main/p/p%d_1_riscv64.deb\nSize: %d\nSHA256: %s\n\n", i, i, len(data), digest.Of(data))
	}
	const index = "main/binary-riscv64/Packages"
	r.archive.AddFile("stable", index, text.Bytes())
	for range 60 {
		r.publish()
		e := r.box.Catalog.Resolve(b.Context(), at(b, stable+"/"+index), nil)
		if e.Index {
			if err := r.box.Catalog.LearnIndex(b.Context(), e, bytes.NewReader(text.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
		r.clock = r.clock.Add(time.Hour)
	}
	r.Begin("prod", at(b, stable))
	for _, d := range all {
		r.Used("prod", catalog.Entry{Kind: catalog.Content, Digest: d, Signed: true})
	}
	for b.Loop() {
		r.sweep(b.Context())
	}
	if n := len(r.pins.all("prod")); n != len(all) {
		b.Errorf("%d pins", n)
	}
}
