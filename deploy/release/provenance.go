package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// statement says of files how they were made: in-toto's Statement v1 with SLSA's
// provenance v1 in it.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     provenance `json:"predicate"`
}

type resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type provenance struct {
	BuildDefinition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters"`
		ResolvedDependencies []resource        `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

// writeProvenance says how all that was made so far was made. It has neither the time nor
// the machine, so that whoever builds the same gets the same.
func (r *release) writeProvenance() error {
	s := statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1"}
	var err error
	if s.Subject, err = r.artefacts(); err != nil {
		return err
	}
	d := &s.Predicate.BuildDefinition
	d.BuildType = "urn:millpond:make-release:v1"
	s.Predicate.RunDetails.Builder.ID = "urn:millpond:deploy/release"
	d.ExternalParameters = map[string]string{"version": r.version.number, "architectures": strings.Join(names(r.targets), ","), "maintainer": r.maintainer}
	d.InternalParameters = map[string]string{"SOURCE_DATE_EPOCH": fmt.Sprint(r.version.time.Unix())}
	source := resource{Name: "millpond", Digest: map[string]string{"gitCommit": r.version.commit}}
	if r.version.dirty {
		source.Annotations = map[string]string{"changed": "the tree differed from the commit"}
	}
	sums, err := sumOf(filepath.Join(r.root, "go.sum"))
	if err != nil {
		return err
	}
	d.ResolvedDependencies = []resource{
		source,
		{Name: "go", Annotations: map[string]string{"version": r.programs[0].info.GoVersion}},
		{Name: "go.sum", Digest: map[string]string{"sha256": sums}},
	}
	trust, err := r.trustedPackages()
	if err != nil {
		return err
	}
	for _, p := range trust {
		d.ResolvedDependencies = append(d.ResolvedDependencies, resource{
			URI: "pkg:deb/debian/" + p.name + "@" + p.version, Digest: map[string]string{"sha256": p.sum},
		})
	}
	return writeJSON(filepath.Join(r.dir, "millpond_"+r.version.number+".provenance.json"), s)
}

// artefacts lists the files of the release so far, in the order of names.
func (r *release) artefacts() (all []resource, err error) {
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		sum, err := sumOf(filepath.Join(r.dir, f.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, resource{Name: f.Name(), Digest: map[string]string{"sha256": sum}})
	}
	return all, nil
}

// sumOf is the SHA-256 of a file.
func sumOf(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// debianPackage is one that something in the image is from.
type debianPackage struct {
	name, version, sum string
}

// trustedPackages reads which Debian packages the trusted files are from, which
// deploy/release/trust noted: lines of name, version and SHA-256.
func (r *release) trustedPackages() (all []debianPackage, err error) {
	f, err := os.Open(filepath.Join(r.trust, "packages"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 3 {
			return nil, fmt.Errorf("%s: %q is not a package's name, version and SHA-256", f.Name(), lines.Text())
		}
		all = append(all, debianPackage{words[0], words[1], words[2]})
	}
	return all, lines.Err()
}
