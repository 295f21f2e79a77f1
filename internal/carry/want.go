package carry

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// WantList is what a box without a network wants from outside.
type WantList struct {
	Suites []WantedSuite
	Files  []WantedFile
}

// WantedSuite is a suite that the box follows or its clients use.
type WantedSuite struct {
	Dir     catalog.Location
	Release digest.Digest // of the generation that the box has; zero for none
	Indices []string      // paths from Dir of what the box uses of it
}

// WantedFile is a file that an index of the box lists and its clients use, and that it does
// not hold.
type WantedFile struct {
	Digest digest.Digest
	Size   int64
	At     catalog.Location
}

const (
	// wantVersion is the number of the format: a list with another one is refused.
	wantVersion = "millpond want-list 1"
	maxWantLine = 8 << 10
	// maxWanted bounds the lines of a list. A site uses some thousands of packages.
	maxWanted = 1 << 20
	// maxWantBytes bounds what is read of a list, which is held in memory.
	maxWantBytes = 256 << 20
)

// Write writes a list as text: a word at the beginning of each line says what it is.
func (w *WantList) Write(to io.Writer, now time.Time) error {
	b := bufio.NewWriter(to)
	fmt.Fprintf(b, "%s\n# What a box without a network wants, %s. `millpond fill` reads this.\n", wantVersion, now.UTC().Format(time.RFC3339))
	fmt.Fprint(b, "# suite URL RELEASE-IT-HAS; index PATH-BELOW-THE-SUITE; file SHA256 BYTES URL\n")
	n := 0
	line := func(format string, args ...any) {
		n++
		fmt.Fprintf(b, format+"\n", args...)
	}
	for _, s := range w.Suites {
		has := "-"
		if !s.Release.IsZero() {
			has = s.Release.String()
		}
		line("suite %s %s", s.Dir, has)
		for _, x := range s.Indices {
			line("index %s", s.Dir.Join(x).String()[len(strings.TrimRight(s.Dir.String(), "/"))+1:])
		}
	}
	for _, f := range w.Files {
		line("file %s %d %s", f.Digest, f.Size, f.At)
	}
	fmt.Fprintf(b, "end %d\n", n)
	return b.Flush()
}

// ReadWantList reads what Write wrote. Anybody may have changed it: what it names is
// fetched, if anybody may fetch it, and counts by its digest.
func ReadWantList(from io.Reader) (*WantList, error) {
	return readWantList(from, maxWanted, maxWantBytes)
}

func readWantList(from io.Reader, mostLines int, mostBytes int64) (*WantList, error) {
	limited := &io.LimitedReader{R: from, N: mostBytes + 1}
	s := bufio.NewScanner(limited)
	s.Buffer(make([]byte, 0, maxWantLine), maxWantLine)
	if !s.Scan() || strings.TrimSpace(s.Text()) != wantVersion {
		return nil, fmt.Errorf("this is no want-list that this version reads: its first line is not %q; write one with `millpond want` of the same version", wantVersion)
	}
	w := new(WantList)
	n, ended := 0, false
	for number := 2; s.Scan(); number++ {
		text := strings.TrimSpace(s.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		fields := strings.Fields(text)
		isEnd := fields[0] == "end" && len(fields) == 2
		if ended || n >= mostLines && !isEnd {
			return nil, fmt.Errorf("line %d of the want-list: there are more lines than it may have", number)
		}
		if isEnd {
			if fields[1] != strconv.Itoa(n) {
				return nil, fmt.Errorf("the want-list has %d lines, and its end says %.20s: it is damaged", n, fields[1])
			}
			ended = true
			continue
		}
		n++
		if err := w.read(fields); err != nil {
			return nil, fmt.Errorf("line %d of the want-list: %w", number, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading the want-list: %w", err)
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("the want-list is longer than %d bytes", mostBytes)
	}
	if !ended {
		return nil, fmt.Errorf("the want-list ends in the middle: copy it once more")
	}
	return w, nil
}

// read reads the fields of one line.
func (w *WantList) read(fields []string) (err error) {
	switch {
	case fields[0] == "suite" && len(fields) == 3:
		var s WantedSuite
		if s.Dir, err = place(fields[1]); err != nil {
			return err
		}
		if fields[2] != "-" {
			s.Release, err = digest.Parse(fields[2])
		}
		w.Suites = append(w.Suites, s)
	case fields[0] == "index" && len(fields) == 2 && len(w.Suites) > 0:
		last := &w.Suites[len(w.Suites)-1]
		var l catalog.Location
		dir := strings.TrimRight(last.Dir.String(), "/") + "/"
		if l, err = place(dir + fields[1]); err != nil {
			return err
		}
		rel, inside := strings.CutPrefix(l.Path, strings.TrimRight(last.Dir.Path, "/")+"/")
		if !inside || rel == "" {
			return fmt.Errorf("%.200q leads out of the suite", fields[1])
		}
		last.Indices = append(last.Indices, rel)
	case fields[0] == "file" && len(fields) == 4:
		var f WantedFile
		if f.Digest, err = digest.Parse(fields[1]); err != nil {
			return err
		}
		if f.Size, err = strconv.ParseInt(fields[2], 10, 64); err != nil || f.Size < 0 {
			return fmt.Errorf("%.20q is no number of bytes", fields[2])
		}
		f.At, err = place(fields[3])
		w.Files = append(w.Files, f)
	default:
		return fmt.Errorf("%.80q is nothing that this version knows", strings.Join(fields, " "))
	}
	return err
}

// place reads the URL of a file or directory.
func place(s string) (catalog.Location, error) {
	l, err := catalog.ParseURL(s)
	if err == nil && (l.Tail != "" || l.Path == "/" && !strings.HasSuffix(s, "/")) {
		err = fmt.Errorf("%.200q is not the URL of a file", s)
	}
	return l, err
}
