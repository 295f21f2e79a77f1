package main

import (
	"crypto/sha1" // SPDX requires it of files, beside SHA-256
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// unknown is what SPDX has for "nobody said".
const unknown = "NOASSERTION"

// notInID matches what an identifier in SPDX cannot have.
var notInID = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// writeBill makes the bill of materials: the programs, and the modules that these say
// they contain.
func (r *release) writeBill() error {
	modules, err := r.modules()
	if err != nil {
		return err
	}
	const product = common.ElementID("Package-millpond")
	doc := spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: "millpond-" + r.version.number,
		// It identifies the document and leads nowhere.
		DocumentNamespace: "urn:millpond:spdx:" + r.version.number + ":" + r.version.commit,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "millpond-deploy-release"}},
			Created:  r.version.time.Format(time.RFC3339),
		},
		Packages: []*spdx.Package{{
			PackageName: "millpond", PackageSPDXIdentifier: product, PackageVersion: r.version.number,
			PackageDownloadLocation: unknown, PackageLicenseConcluded: "Apache-2.0", PackageLicenseDeclared: "Apache-2.0",
			PackageCopyrightText: unknown, PackageSourceInfo: "git commit " + r.version.commit, PrimaryPackagePurpose: "APPLICATION",
		}},
	}
	relate := func(a common.ElementID, how string, b common.ElementID) {
		doc.Relationships = append(doc.Relationships, &spdx.Relationship{
			RefA: common.DocElementID{ElementRefID: a}, Relationship: how, RefB: common.DocElementID{ElementRefID: b},
		})
	}
	relate("DOCUMENT", "DESCRIBES", product)
	parts, err := r.parts(modules)
	if err != nil {
		return err
	}
	for _, p := range parts {
		id := common.ElementID("Package-" + notInID.ReplaceAllString(p.kind+"-"+p.name+"-"+p.version, "-"))
		doc.Packages = append(doc.Packages, &spdx.Package{
			PackageName: p.name, PackageSPDXIdentifier: id, PackageVersion: p.version, PackageComment: p.where,
			PackageDownloadLocation: unknown, PackageLicenseConcluded: unknown, PackageLicenseDeclared: unknown, PackageCopyrightText: unknown,
			PackageExternalReferences: []*spdx.PackageExternalReference{{
				Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: "pkg:" + p.kind + "/" + p.name + "@" + p.version,
			}},
		})
		relate(product, "DEPENDS_ON", id)
	}
	for _, p := range r.programs {
		data, err := os.ReadFile(p.path)
		if err != nil {
			return err
		}
		id := common.ElementID("File-" + p.String())
		sum1, sum256 := sha1.Sum(data), sha256.Sum256(data)
		doc.Files = append(doc.Files, &spdx.File{
			FileName: "./" + filepath.Base(p.path), FileSPDXIdentifier: id, FileTypes: []string{"BINARY"},
			Checksums: []common.Checksum{
				{Algorithm: common.SHA1, Value: hex.EncodeToString(sum1[:])},
				{Algorithm: common.SHA256, Value: hex.EncodeToString(sum256[:])},
			},
			LicenseConcluded: "Apache-2.0", LicenseInfoInFiles: []string{unknown}, FileCopyrightText: unknown,
		})
		relate(product, "CONTAINS", id)
	}
	return writeJSON(filepath.Join(r.dir, "millpond_"+r.version.number+".spdx.json"), doc)
}

// part is work of others in what is published.
type part struct {
	kind, name, version string // as package URLs have them
	where               string
}

// parts lists the modules, what the dashboard contains, and what the image has besides.
func (r *release) parts(modules []module) (all []part, err error) {
	for _, m := range append(modules, module{Path: "std", Version: r.programs[0].info.GoVersion}) {
		all = append(all, part{"golang", m.Path, m.Version, "in the program"})
	}
	text, err := os.ReadFile(filepath.Join(r.root, "web/package.json"))
	if err != nil {
		return nil, err
	}
	var web struct {
		Dependencies map[string]string // exact versions
	}
	if err := json.Unmarshal(text, &web); err != nil {
		return nil, fmt.Errorf("web/package.json: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(web.Dependencies)) {
		all = append(all, part{"npm", name, web.Dependencies[name], "in the dashboard, which is in the program"})
	}
	trust, err := r.trustedPackages()
	if err != nil {
		return nil, err
	}
	for _, p := range trust {
		all = append(all, part{"deb/debian", p.name, p.version, "in the image: certificates and keys"})
	}
	return all, nil
}

// writeJSON writes a file for programs that people can read too.
func writeJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, append(data, '\n'), 0o644)
}
