// Package backup writes and reads backups of a box: tar files that hold what nothing can
// rebuild.
//
//	backup.json    Info
//	settings.env   the settings, without secrets
//	identity.key   the identity key, if the box has one
//	db.kept        rows of the database, as package kv keeps them beside it
//	SHA256SUMS     of all files before, as sha256sum(1) reads it
//
// A backup comes from outside: a Reader takes these names alone, each once and as a plain
// file, bounds what it writes, and is done only when all sums are right. What the files
// hold is checked by those who use them.
package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The files of a backup.
const (
	infoFile = "backup.json"
	Settings = "settings.env"
	Identity = "identity.key"
	Rows     = "db.kept"
	sumsFile = "SHA256SUMS"
)

// MaxRows bounds the rows of the database in bytes: many times what the largest box has.
const MaxRows = 1 << 30

// most bounds each file in bytes, far above what it takes.
var most = map[string]int64{infoFile: 64 << 10, Settings: 1 << 20, Identity: 64 << 10, Rows: MaxRows, sumsFile: 64 << 10}

// format is the number of the form that the package comment describes.
const format = 1

// Info is about a backup.
type Info struct {
	Format     int       `json:"format"`      // set by Write
	DataFormat int       `json:"data_format"` // of the data directory
	Version    string    `json:"version"`     // of the millpond that made it
	Made       time.Time `json:"made"`
}

// ErrLater says that a later version of millpond made the backup, in a form that this one
// does not know.
var ErrLater = errors.New("it was made by a later version of millpond")

// File is one of Settings, Identity and Rows.
type File struct {
	Name  string
	Size  int64
	Write func(io.Writer) error // writes Size bytes
}

// Content is a File of some bytes.
func Content(name string, content []byte) File {
	return File{name, int64(len(content)), func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}}
}

// Size is how many bytes Write writes.
func Size(info Info, files ...File) (int64, error) {
	text, err := info.encode()
	sizes := []int64{int64(len(text)), int64(len(sumLine(nil, infoFile)))}
	for _, f := range files {
		sizes[1] += int64(len(sumLine(nil, f.Name)))
		sizes = append(sizes, f.Size)
	}
	total := int64(2 * block)
	for _, size := range sizes {
		total += block + (size+block-1)/block*block
	}
	return total, err
}

// block is tar's.
const block = 512

func (i Info) encode() ([]byte, error) {
	i.Format, i.Made = format, i.Made.UTC()
	text, err := json.MarshalIndent(i, "", "  ")
	return append(text, '\n'), err
}

// Write writes a backup.
func Write(w io.Writer, info Info, files ...File) error {
	text, err := info.encode()
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	var sums []byte
	for _, f := range append([]File{Content(infoFile, text)}, files...) {
		if f.Size > most[f.Name] {
			return fmt.Errorf("%s would have %d bytes, and a backup has room for %d", f.Name, f.Size, most[f.Name])
		}
		sum := sha256.New()
		if err := add(out, f, info.Made, sum); err != nil {
			return fmt.Errorf("writing %s: %w", f.Name, err)
		}
		sums = append(sums, sumLine(sum.Sum(nil), f.Name)...)
	}
	if err := add(out, Content(sumsFile, sums), info.Made, io.Discard); err != nil {
		return fmt.Errorf("writing %s: %w", sumsFile, err)
	}
	return out.Close()
}

func add(out *tar.Writer, f File, made time.Time, sum io.Writer) error {
	err := out.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: f.Name, Size: f.Size, Mode: 0o600, ModTime: made.Truncate(time.Second), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return err
	}
	return f.Write(io.MultiWriter(out, sum))
}

// sumLine is a line of SHA256SUMS.
func sumLine(sum []byte, name string) string {
	if sum == nil {
		sum = make([]byte, sha256.Size)
	}
	return hex.EncodeToString(sum) + "  " + name + "\n"
}

// Reader reads a backup.
type Reader struct {
	Info Info
	in   *tar.Reader
	sums string // of what was read
}

// Open reads what the backup says of itself. The error wraps ErrLater if that is all that
// this version understands.
func Open(r io.Reader) (*Reader, error) {
	b := &Reader{in: tar.NewReader(r)}
	h, err := b.in.Next()
	if err != nil || h.Name != infoFile {
		return nil, errors.New("it is no backup: it does not begin with " + infoFile)
	}
	var text strings.Builder
	if _, err := b.copy(&text, h); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text.String()), &b.Info); err != nil {
		return nil, fmt.Errorf("reading %s: %w", infoFile, err)
	}
	switch {
	case b.Info.Format > format:
		return nil, fmt.Errorf("%w (%.40q), in form %d; this one reads up to %d", ErrLater, b.Info.Version, b.Info.Format, format)
	case b.Info.Format < 1, b.Info.DataFormat < 1:
		return nil, fmt.Errorf("%s says neither of which form the backup is nor of which its data", infoFile)
	}
	return b, nil
}

// copy writes the file of a header to w, and returns its line of SHA256SUMS.
func (b *Reader) copy(w io.Writer, h *tar.Header) (line string, err error) {
	limit, known := most[h.Name]
	switch {
	case !known:
		return "", fmt.Errorf("it has a file %.100q, which no backup has", h.Name)
	case h.Typeflag != tar.TypeReg, h.Format != tar.FormatUSTAR: // other forms have files with holes, of any size
		return "", fmt.Errorf("%s in it is no plain file", h.Name)
	case h.Size < 0, h.Size > limit:
		return "", fmt.Errorf("%s in it has %d bytes, more than the %d that are allowed", h.Name, h.Size, limit)
	}
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(w, sum), b.in, h.Size); err != nil {
		return "", fmt.Errorf("reading %s: %w", h.Name, err)
	}
	line = sumLine(sum.Sum(nil), h.Name)
	if h.Name != sumsFile {
		b.sums += line
	}
	return line, nil
}

// Extract writes the files of the backup to dir, which is empty, and returns the names of
// those that there are. They are not synced to the disk. After an error, dir has files that
// are of no use.
func (b *Reader) Extract(dir string) (names []string, err error) {
	for {
		h, err := b.in.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("its end is missing: " + sumsFile)
		}
		if err != nil {
			return nil, fmt.Errorf("reading it: %w", err)
		}
		if h.Name == sumsFile {
			return names, b.compare(h)
		}
		if h.Name == infoFile || slices.Contains(names, h.Name) {
			return nil, fmt.Errorf("it has %s twice", h.Name)
		}
		if err := b.extract(dir, h); err != nil {
			return nil, err
		}
		names = append(names, h.Name)
	}
}

func (b *Reader) extract(dir string, h *tar.Header) error {
	if _, known := most[h.Name]; !known { // before a file has that name
		return fmt.Errorf("it has a file %.100q, which no backup has", h.Name)
	}
	f, err := os.OpenFile(filepath.Join(dir, h.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = b.copy(f, h)
	return errors.Join(err, f.Close())
}

// compare reads the sums, with which the backup ends.
func (b *Reader) compare(h *tar.Header) error {
	var text strings.Builder
	if _, err := b.copy(&text, h); err != nil {
		return err
	}
	if text.String() != b.sums {
		return errors.New("it is damaged: its files do not match " + sumsFile)
	}
	if h, err := b.in.Next(); err == nil {
		return fmt.Errorf("it has %.100q behind its end", h.Name)
	}
	return nil
}
