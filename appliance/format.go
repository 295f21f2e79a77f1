package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"millpond/internal/disk"
)

// dataFormat is the number of the format in which this version keeps the data directory:
// the rows of the database, the layout of blobs/ and the files beside them. The file
// format has it as text, so that a version that does not know a format changes nothing.
//
// A change that versions with the number before could not read, or would damage, takes
// the next number. That version still reads the earlier formats, back to the one of the
// last release. It writes the new number (writeFormat) before it writes anything in the
// new form, so that a conversion that was interrupted is safe from older versions too.
// A new row or file that older versions ignore and leave alone needs no new number.
const dataFormat = 1

// unnumbered is the format of directories without a number, from before there was one.
const unnumbered = 1

// maxFormatFile is more than a number takes.
const maxFormatFile = 32

func formatFile(dir string) string { return filepath.Join(dir, "format") }

// checkFormat returns an error if this version cannot use the data directory dir. It
// changes nothing, and comes before everything that could.
func checkFormat(dir string) error {
	f, err := os.Open(formatFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a new directory, or an unnumbered one
	}
	if err != nil {
		return fmt.Errorf("reading the number of its format: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFormatFile+1))
	if err != nil {
		return fmt.Errorf("reading the number of its format: %w", err)
	}
	digits := strings.TrimSpace(string(text))
	number, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), number == 0, len(text) > maxFormatFile:
		return fmt.Errorf("the file format in it has %.40q instead of a number; restore the file, or, if no version later than this one (%s, which keeps format %d) has run here, remove it; nothing was changed",
			text, version, dataFormat)
	case number > dataFormat:
		return fmt.Errorf("it is in format %s, of a later version of millpond, and this one (%s) reads formats up to %d; start the later version again, or name another directory; nothing was changed",
			digits, version, dataFormat)
	}
	return nil
}

// numberFormat writes the number of the format into a directory that has none yet.
func numberFormat(dir string) error {
	if _, err := os.Stat(formatFile(dir)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeFormat(dir, unnumbered)
}

// writeFormat replaces the number of the format.
func writeFormat(dir string, number int) error {
	return disk.Replace(formatFile(dir), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, number)
		return err
	})
}
