package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeImage makes the image for all processors, an OCI layout in a tar archive. It is
// what the last stage of the Dockerfile says, a layer for each of its COPY lines, which
// are the same for all processors except for the program's.
func (r *release) writeImage() error {
	text, err := os.ReadFile(filepath.Join(r.root, "Dockerfile"))
	if err != nil {
		return err
	}
	stage, err := parseStage(string(text), map[string]string{
		"VERSION": r.version.number, "REVISION": r.version.commit, "CREATED": r.version.time.Format(time.RFC3339),
	})
	if err != nil {
		return fmt.Errorf("the last stage of Dockerfile: %w", err)
	}
	var index v1.ImageIndex = empty.Index
	for _, p := range r.programs {
		image, err := r.image(stage, p)
		if err != nil {
			return fmt.Errorf("the image for %s: %w", p.debian, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: p.goarch, Variant: p.variant},
		}})
	}
	dir := filepath.Join(r.work, "oci")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := l.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version.tag()})); err != nil {
		return err
	}
	all, err := entriesBelow(dir, "")
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(r.dir, "millpond-"+r.version.number+".oci.tar"))
	if err != nil {
		return err
	}
	defer out.Close()
	if err := writeTar(out, all, r.version.time); err != nil {
		return err
	}
	return out.Close()
}

// image makes the image for a processor.
func (r *release) image(s stage, p program) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: r.version.time}
	for _, c := range s.copies {
		entries, err := r.copied(c, p)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := writeTar(&b, entries, r.version.time); err != nil {
			return nil, err
		}
		data := b.Bytes()
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
			tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		image, err = mutate.Append(image, mutate.Addendum{
			Layer: layer, History: v1.History{Created: created, CreatedBy: c.line}, MediaType: types.OCILayer,
		})
		if err != nil {
			return nil, err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created, config.OS, config.Architecture, config.Variant, config.Config = created, "linux", p.goarch, p.variant, s.config
	return mutate.ConfigFile(image, config)
}

// copied lists what a COPY line puts into the image.
func (r *release) copied(c copyLine, p program) ([]entry, error) {
	into := func(source string) string {
		if strings.HasSuffix(c.to, "/") {
			return c.to + filepath.Base(source)
		}
		return c.to
	}
	var all []entry
	var err error
	switch {
	case c.stage == "build" && c.from == "/millpond":
		all, err = entriesBelow(p.path, into(c.from))
	case c.stage == "build" && c.from == "/data": // empty
		all = []entry{{name: strings.TrimPrefix(c.to, "/"), kind: tar.TypeDir}}
	case c.stage == "trust":
		if all, err = r.trusted(c.from, into); err != nil {
			err = fmt.Errorf("%w; `make trust` gets what the image trusts from the machine's Debian archive", err)
		}
	case c.stage == "":
		all, err = entriesBelow(filepath.Join(r.root, c.from), into(c.from))
	default:
		err = fmt.Errorf("the release does not know what %q copies", c.line)
	}
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].uid, all[i].gid = c.uid, c.gid
	}
	return withParents(all), nil
}

// trusted lists certificates and keys. The directory of keys must have both
// distributions' own.
func (r *release) trusted(from string, into func(string) string) ([]entry, error) {
	path := filepath.Join(r.trust, from)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return entriesBelow(path, into(from))
	}
	for _, name := range []string{"debian-archive-keyring.gpg", "ubuntu-archive-keyring.gpg"} {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			return nil, err
		}
	}
	return entriesBelow(path, strings.TrimSuffix(into(from), "/"))
}
