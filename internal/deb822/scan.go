package deb822

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

const (
	// maxLine bounds a line that is kept, in bytes, where dependencies are not read.
	// The longest lines of real indices are those: some 100 KB of Provides.
	maxLine = 64 << 10
	// maxLongLine bounds it where they are.
	maxLongLine = 1 << 20
	// maxName bounds the name of a field that a reader knows, and what is
	// kept of a line that is too long.
	maxName = 64
)

// A field is one bit, so that a reader can name the ones it wants as a set.
type field uint64

const (
	fFilename field = 1 << iota
	fSize
	fSHA256
	fDirectory
	fChecksums
	fOrigin
	fLabel
	fSuite
	fCodename
	fDate
	fValidUntil
	fByHash
	fSignedBy
	fMD5Sum // files by another hash than SHA-256
	fSHA1
	fSHA512
	fDescribes // other fields that a Release has
	fDownload
	fPackage
	fVersion
	fArchitecture
	fSource
	fSection
	fPriority
	fDepends
	fPreDepends
	fRecommends
	fProvides
	fMultiArch
	fEssential
	fArchitectures
	fNoSupportAll
	stanzaEnd
)

// lookup returns the field of a name in lower case, zero if nothing reads it.
func lookup(name []byte) field {
	switch string(name) {
	case "filename":
		return fFilename
	case "size":
		return fSize
	case "sha256":
		return fSHA256
	case "directory":
		return fDirectory
	case "checksums-sha256":
		return fChecksums
	case "origin":
		return fOrigin
	case "label":
		return fLabel
	case "suite":
		return fSuite
	case "codename":
		return fCodename
	case "date":
		return fDate
	case "valid-until":
		return fValidUntil
	case "acquire-by-hash":
		return fByHash
	case "signed-by":
		return fSignedBy
	case "md5sum":
		return fMD5Sum
	case "sha1":
		return fSHA1
	case "sha512":
		return fSHA512
	case "components", "description":
		return fDescribes
	case "architectures":
		return fArchitectures
	case "package":
		return fPackage
	case "version":
		return fVersion
	case "architecture":
		return fArchitecture
	case "source":
		return fSource
	case "section":
		return fSection
	case "priority":
		return fPriority
	case "depends":
		return fDepends
	case "pre-depends":
		return fPreDepends
	case "recommends":
		return fRecommends
	case "provides":
		return fProvides
	case "multi-arch":
		return fMultiArch
	case "no-support-for-architecture-all":
		return fNoSupportAll
	case "essential":
		return fEssential
	case "sha256-download", "x-unmerged-sha256-download":
		return fDownload
	}
	return 0
}

// lines reads lines of any length in a buffer that bounds those which are kept.
type lines struct {
	buf  *bufio.Reader
	n    int // number of the line last read, from 1
	head [maxName]byte
}

func newLines(r io.Reader, most int) *lines {
	return &lines{buf: bufio.NewReaderSize(r, most)}
}

// next returns a line without its end, valid until the following call. Of a
// line that does not fit only the head is returned, and cut is set. The error
// is io.EOF after the last line; any other names the line.
func (l *lines) next() (line []byte, cut bool, err error) {
	l.n++
	line, err = l.buf.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		cut = true
		line = l.head[:copy(l.head[:], line)]
		for err == bufio.ErrBufferFull {
			_, err = l.buf.ReadSlice('\n')
		}
	}
	if err == io.EOF && len(line) > 0 {
		err = nil // the last line may lack its end
	}
	if err == io.EOF {
		return nil, false, io.EOF
	}
	if err != nil {
		return nil, false, l.fault(err)
	}
	if !cut {
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	return line, cut, nil
}

func (l *lines) fault(err error) error { return fmt.Errorf("line %d: %w", l.n, err) }

// A token is one line of a wanted field, or the end of a stanza.
type token struct {
	field  field
	folded bool   // the line continues the field of an earlier one
	cut    bool   // the line is too long to be kept; value is not all of it
	value  []byte // without white space around it; valid until the next token
	line   int
}

// scanner turns lines into tokens.
type scanner struct {
	*lines
	want   field // the set of fields to return
	open   bool  // inside a stanza
	cur    field // what a folded line belongs to; zero if not wanted
	fields bool  // some field was read
	odd    error // names the first line that is none
}

// tokens yields the tokens of the wanted fields and of the ends of stanzas,
// and stops after the first error. As apt does, it passes over lines that are
// not of the control format; text without any field is an error.
func tokens(r io.Reader, want field) iter.Seq2[token, error] {
	return tokensOf(newLines(r, maxLine), want)
}

func tokensOf(l *lines, want field) iter.Seq2[token, error] {
	return func(yield func(token, error) bool) {
		s := scanner{lines: l, want: want}
		for {
			line, cut, err := s.next()
			if err == io.EOF {
				s.end(yield)
				return
			}
			if err != nil {
				yield(token{}, err)
				return
			}
			if t := s.accept(line, cut); t.field != 0 && !yield(t, nil) {
				return
			}
		}
	}
}

// end yields what is due at the end of the text.
func (s *scanner) end(yield func(token, error) bool) {
	switch {
	case s.open:
		yield(token{field: stanzaEnd, line: s.n}, nil)
	case !s.fields && s.odd != nil:
		yield(token{}, s.odd)
	}
}

// accept returns the token of a line, with no field if it is not wanted. Only
// an empty line ends a stanza: one of blanks continues a field (apt's
// pkgTagSection::Scan).
func (s *scanner) accept(line []byte, cut bool) token {
	t := token{line: s.n, cut: cut, value: trim(line)}
	switch {
	case len(bytes.TrimLeft(line, "\r")) == 0:
		if s.open {
			t.field = stanzaEnd
		}
		s.open, s.cur = false, 0
		return t
	case line[0] == '#':
		return token{}
	case line[0] == ' ' || line[0] == '\t':
		if !s.open && len(t.value) > 0 {
			s.refuse("a folded line without a field")
		}
		t.folded = true
	default:
		name, value, ok := split(line)
		if !ok {
			s.cur = 0
			s.refuse(fmt.Sprintf("%.40q is no field of the control format", line))
			return token{}
		}
		s.open, s.fields, s.cur, t.value = true, true, name&s.want, value
	}
	t.field = s.cur
	return t
}

// refuse notes why the present line is none of the control format.
func (s *scanner) refuse(why string) {
	if s.odd == nil {
		s.odd = s.fault(errors.New(why))
	}
}

// split parts "Name: value". Names are of any case and consist of the
// printable ASCII characters but the colon (Debian Policy 5.1); blanks may
// follow them.
func split(line []byte) (f field, value []byte, ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || line[0] == '-' {
		return 0, nil, false
	}
	name := trim(line[:colon])
	var lower [maxName]byte
	for i, c := range name {
		if c <= ' ' || c > '~' {
			return 0, nil, false
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if i < maxName {
			lower[i] = c
		}
	}
	if len(name) <= maxName {
		f = lookup(lower[:len(name)])
	}
	return f, trim(line[colon+1:]), true
}

// trim cuts blanks off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
