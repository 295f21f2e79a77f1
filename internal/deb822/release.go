package deb822

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	fOtherLists   = fMD5Sum | fSHA1 | fSHA512
	releaseFields = fOrigin | fLabel | fSuite | fCodename | fDate | fValidUntil | fByHash | fSignedBy | fSHA256 | fOtherLists | fDescribes | fVersion | fArchitectures | fNoSupportAll
)

// maxReleaseFiles bounds each list of a Release. Debian's unstable lists some
// 5,000 files.
const maxReleaseFiles = 1 << 17

// ParseRelease reads the text of a Release or, without its signature, of an
// InRelease. It takes what apt takes, and ignores what apt ignores: stanzas
// after the first one, dates that are none, lines that are no fields. It holds
// at most the first 131,072 files of each list. Text with no field of a Release
// is an error, and so is HTML.
func ParseRelease(r io.Reader) (*Release, error) {
	text := bufio.NewReaderSize(r, maxLine)
	if head, _ := text.Peek(maxName); bytes.HasPrefix(bytes.TrimSpace(head), []byte("<")) {
		return nil, errors.New("reading Release: this is HTML or XML")
	}
	var p releaseParser
	for t, err := range tokens(text, releaseFields) {
		if err != nil {
			return nil, fmt.Errorf("reading Release: %w", err)
		}
		if t.field == stanzaEnd {
			if p.found == 0 {
				continue
			}
			break
		}
		p.set(t)
	}
	if p.found == 0 {
		return nil, errors.New("reading Release: no field of a Release in it: this is something else")
	}
	rel := &p.Release
	rel.SignedBy = parseFingerprints(p.keys)
	rel.BinaryAll = !p.lacksAll && !p.noSupport
	rel.Weak = p.lists && len(rel.Files) == 0
	if !rel.ByHash {
		rel.Hashes = nil
	}
	return rel, nil
}

// releaseParser gathers the first stanza of a Release.
type releaseParser struct {
	Release
	found  field // fields that were there
	lists  bool  // files are listed by some hash
	valued bool  // the present field has its value
	keys   []byte

	lacksAll  bool // its Architectures are named, and all is not one of them
	noSupport bool
}

// set takes a line of a wanted field. Of fields that are there several times
// apt uses the last.
func (p *releaseParser) set(t token) {
	p.found |= t.field
	if t.field&(fSHA256|fOtherLists) != 0 {
		p.list(t)
		return
	}
	if t.field == fSignedBy {
		p.signedBy(t)
		return
	}
	// A value is one line here: that of the name or, if nothing follows the
	// name, a later one.
	if !t.folded {
		p.valued = false
	}
	if p.valued || t.cut || t.folded && len(t.value) == 0 {
		return
	}
	p.valued = len(t.value) > 0
	switch value := string(t.value); t.field {
	case fOrigin:
		p.Origin = value
	case fLabel:
		p.Label = value
	case fSuite:
		p.Suite = value
	case fCodename:
		p.Codename = value
	case fDate:
		p.Date = parseTime(value)
	case fValidUntil:
		p.ValidUntil = parseTime(value)
	case fByHash:
		p.ByHash = isTrue(value)
	case fArchitectures:
		p.lacksAll = !slices.Contains(strings.Fields(value), "all")
	case fNoSupportAll:
		p.noSupport = value == "Packages"
	}
}

// list takes a line of a list of files.
func (p *releaseParser) list(t token) {
	if t.field == fSHA256 && !t.folded {
		p.Files = nil
	}
	if t.cut || len(t.value) == 0 {
		return
	}
	p.lists = true
	p.SHA512 = p.SHA512 || t.field == fSHA512
	if t.field != fSHA256 {
		p.hash(t)
		return
	}
	e, ok := parseListed(t.value)
	if !ok || len(p.Files) == maxReleaseFiles {
		return
	}
	if f, ok := e.file(); ok {
		p.Files = append(p.Files, f)
	}
}

// signedBy takes a line of Signed-By, which is longer than one where it names
// several keys.
func (p *releaseParser) signedBy(t token) {
	if !t.folded {
		p.keys = p.keys[:0]
	}
	if len(p.keys) <= maxSignedBy {
		p.keys = append(append(p.keys, t.value[:min(len(t.value), maxSignedBy)]...), ' ')
	}
}

// maxSignedBy bounds Signed-By in bytes; its longest are of some hundred.
const maxSignedBy = 4 << 10

// parseFingerprints reads what Signed-By names, as apt does: nothing, if a part of
// it is no fingerprint of a key of version 4.
func parseFingerprints(b []byte) (all []string) {
	if len(b) > maxSignedBy {
		return nil
	}
	const digits = 40
	separates := func(r rune) bool { return r == ',' || strings.ContainsRune(" \t\n\v\f\r", r) }
	for _, s := range strings.FieldsFunc(strings.ToUpper(string(b)), separates) {
		print := strings.TrimSuffix(s, "!")
		if len(print) != digits || strings.Trim(print, "0123456789ABCDEF") != "" {
			return nil
		}
		all = append(all, s)
	}
	return all
}

// hash takes a line of a list by another hash than SHA-256.
func (p *releaseParser) hash(t token) {
	name, size := "MD5Sum", 16
	switch t.field {
	case fSHA1:
		name, size = "SHA1", 20
	case fSHA512:
		name, size = "SHA512", 64
	}
	sum, rest := word(t.value)
	_, rest = word(rest)
	path := cleanPath(rest)
	if len(sum) != 2*size || len(path) == 0 || len(p.Hashes) == 3*maxReleaseFiles {
		return
	}
	sum = bytes.ToLower(sum)
	if _, err := hex.DecodeString(string(sum)); err != nil {
		return
	}
	p.Hashes = append(p.Hashes, Hash{Path: string(path), List: name, Sum: string(sum)})
}

// isTrue reports whether apt reads s as true.
func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "yes", "true", "with", "on", "enable", "1":
		return true
	}
	return false
}

// The dates that apt reads are those of RFC 1123, RFC 850 and asctime
// (RFC 9110, section 5.6.7).
var dateLayouts = []string{
	"Mon, 2 Jan 2006 15:04:05 -0700",
	"Monday, 2-Jan-06 15:04:05 -0700",
	"Mon Jan 2 15:04:05 2006",
}

// parseTime reads the dates of Release files, and is zero for what is none: apt
// warns of those and goes on. The zone is UTC by one of its names or a number,
// which apt wants to be zero; other names of zones mean different things to
// different people.
func parseTime(s string) time.Time {
	words := strings.Fields(s)
	if last := len(words) - 1; last >= 0 {
		switch words[last] {
		case "UTC", "GMT", "Z":
			words[last] = "+0000"
		}
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, strings.Join(words, " ")); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
