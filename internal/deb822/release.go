package deb822

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const releaseFields = fOrigin | fLabel | fSuite | fCodename | fDate | fValidUntil |
	fByHash | fSHA256 | fOtherList

const maxReleaseFiles = 1 << 17 // Debian's unstable lists some 5,000

// ParseRelease reads the text of a Release or, without its signature, of an
// InRelease. It holds at most 131,072 files. The error names the line; text
// with neither a Date nor a list of files is no Release.
func ParseRelease(r io.Reader) (*Release, error) {
	var (
		rel   Release
		lists bool // files are listed by some hash
		ended bool
	)
	for t, err := range tokens(r, releaseFields) {
		switch {
		case err != nil:
		case t.field == stanzaEnd:
			ended = true
			continue
		case ended:
			err = errors.New("a second stanza")
		default:
			lists = lists || t.field&(fSHA256|fOtherList) != 0 && len(t.value) > 0
			err = rel.set(t)
		}
		if err != nil && t.line > 0 { // errors of tokens name their line themselves
			err = fmt.Errorf("line %d: %w", t.line, err)
		}
		if err != nil {
			return nil, fmt.Errorf("reading Release: %w", err)
		}
	}
	if !lists && rel.Date.IsZero() {
		return nil, errors.New("reading Release: neither a Date nor a list of files: this is something else")
	}
	rel.Weak = lists && len(rel.Files) == 0
	return &rel, nil
}

func (rel *Release) set(t token) (err error) {
	switch t.field {
	case fOrigin:
		rel.Origin = string(t.value)
	case fLabel:
		rel.Label = string(t.value)
	case fSuite:
		rel.Suite = string(t.value)
	case fCodename:
		rel.Codename = string(t.value)
	case fDate:
		rel.Date, err = parseTime(string(t.value))
	case fValidUntil:
		rel.ValidUntil, err = parseTime(string(t.value))
	case fByHash:
		rel.ByHash = isTrue(t.value)
	case fSHA256:
		err = rel.list(t.value)
	}
	return err
}

func (rel *Release) list(line []byte) error {
	e, ok := parseListed(line)
	if !ok {
		return nil
	}
	f, ok := e.file()
	if !ok {
		return nil
	}
	if len(rel.Files) == maxReleaseFiles {
		return fmt.Errorf("more than %d files", maxReleaseFiles)
	}
	rel.Files = append(rel.Files, f)
	return nil
}

// isTrue reports whether apt reads b as true.
func isTrue(b []byte) bool {
	switch strings.ToLower(string(b)) {
	case "yes", "true", "with", "on", "enable", "1":
		return true
	}
	return false
}

// parseTime reads the dates of Release files: those of RFC 1123, but with
// days of one digit too. The zone is UTC by one of its names or a number;
// other names of zones mean different things to different people.
func parseTime(s string) (time.Time, error) {
	date, zone := s, ""
	if i := strings.LastIndexByte(s, ' '); i >= 0 {
		date, zone = s[:i], s[i+1:]
	}
	switch zone {
	case "UTC", "GMT", "Z":
		zone = "+0000"
	}
	t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", date+" "+zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("date %.60q is not like \"Sat, 11 Jul 2026 10:16:37 UTC\"", s)
	}
	return t.UTC(), nil
}
