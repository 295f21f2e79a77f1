package deb822

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// DiffIndex yields the patches that the Index of a .diff directory offers for
// download, as they are named in requests: "2026-07-11-0803.32.gz". Each is
// relative to the directory of the Index; its digest is of the compressed
// file (the SHA256-Download lists). An Index that gives only the digests of
// uncompressed patches yields nothing. It reads r once and stops after the
// first error, which it yields with an empty File.
func DiffIndex(r io.Reader) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		for t, err := range tokens(r, fDownload) {
			if err != nil {
				yield(File{}, fmt.Errorf("reading the Index of patches: %w", err))
				return
			}
			e, ok := parseListed(t.value)
			if !ok {
				continue
			}
			if f, ok := e.file(); ok && !yield(f, nil) {
				return
			}
		}
	}
}

// Patch yields the files that an ed-style patch of a Packages index adds,
// uncompressed (the output of diff --ed). The lines that one command adds
// stand together in the new index, so a Filename and a SHA256 in them with no
// empty line between are of one stanza, and such pairs are yielded. A stanza
// of which only one of the two changes is left out; the Size is -1
// if it did not change. It reads r once and
// stops after the first error, which it yields with an empty File.
func Patch(r io.Reader) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		s := scanner{lines: newLines(r, maxLine), want: stanzaFields}
		for {
			line, cut, err := s.next()
			if err == io.EOF {
				return
			}
			adds, ok := command(line)
			if err == nil && (!ok || cut) {
				err = s.fault(fmt.Errorf("%.40q is no command of a patch", line))
			}
			more := err == nil
			if adds && more {
				more, err = s.hunk(yield)
			}
			if err != nil {
				yield(File{}, fmt.Errorf("reading a patch: %w", err))
			}
			if !more {
				return
			}
		}
	}
}

// hunk yields the files in the lines that one command adds, up to the dot
// that ends them. It reports whether to go on.
func (s *scanner) hunk(yield func(File, error) bool) (more bool, err error) {
	var st stanza
	st.reset()
	s.cur = 0
	for {
		line, cut, err := s.next()
		if err == io.EOF {
			err = s.fault(errors.New("the patch ends inside a hunk"))
		}
		if err != nil {
			return false, err
		}
		dot := string(line) == "."
		if dot {
			line = nil // it ends the last stanza as an empty line does
		}
		s.open = true // a hunk may begin and end in the middle of a stanza
		t := s.accept(line, cut)
		if t.field == stanzaEnd {
			f, ok := st.file()
			st.reset()
			if ok && !yield(f, nil) {
				return false, nil
			}
		} else if t.field != 0 {
			st.set(t)
		}
		if dot {
			return true, nil
		}
	}
}

// command reads a command of diff --ed: one or two line numbers and a, c or d.
// It reports whether lines to be added follow. The substitution s/.// undoes
// the doubling of a line that is a dot, which no index has.
func command(line []byte) (adds, ok bool) {
	if string(line) == "s/.//" {
		return false, true
	}
	if len(line) < 2 {
		return false, false
	}
	address, verb := line[:len(line)-1], line[len(line)-1]
	first, last, ranged := bytes.Cut(address, []byte(","))
	if !number(first) || ranged && !number(last) {
		return false, false
	}
	switch verb {
	case 'a', 'c':
		return true, true
	case 'd':
		return false, true
	}
	return false, false
}

func number(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
