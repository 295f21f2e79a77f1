package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
)

// Badger ends the process when it meets certain damage: it opens tables in goroutines
// of its own, which nobody can recover, and calls log.Fatal. So its files are verified
// before it opens them, all blocks of all tables included.

// logHeader is what each of Badger's logs begins with: the id of a key, and 12 bytes
// that only matter with one.
const logHeader = 20

// maxEntry is more than an entry of a log takes, with the largest key and value.
const maxEntry = 2 * MaxValue

// castagnoli is what Badger's checksums are made with.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// verifyFiles reads the files of a database. orphans reports whether there are whole tables
// that the manifest has not: a process that is killed leaves them, with rows that are
// elsewhere too, and so does a manifest that is cut short. Badger removes them, and the
// unfinished ones of a killed process, unread. An error wraps ErrDamaged, unless it is
// about this machine.
func verifyFiles(opt badger.Options) (orphans bool, err error) {
	files := make(map[string][]string) // by extension, in byte order
	entries, err := os.ReadDir(opt.Dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		files[filepath.Ext(e.Name())] = append(files[filepath.Ext(e.Name())], e.Name())
	}
	listed, others, err := verifyManifest(opt, files[".sst"], len(files[".mem"]) > 0)
	if err != nil {
		return false, err
	}
	if err := verifyTables(opt.Dir, listed); err != nil {
		return false, err
	}
	for _, ext := range []string{".mem", ".vlog"} {
		if err := verifyLogs(opt.Dir, files[ext]); err != nil {
			return false, err
		}
	}
	if err := verifyRegistry(filepath.Join(opt.Dir, badger.KeyRegistryFileName)); err != nil {
		return false, err
	}
	for _, name := range others {
		orphans = orphans || guard(func() error { return withFile(filepath.Join(opt.Dir, name), verifyTable) }) == nil
	}
	return orphans, checkDiscard(filepath.Join(opt.Dir, "DISCARD"), 2*opt.ValueLogFileSize)
}

// damage is an error wrapping ErrDamaged about a file.
func damage(file, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ErrDamaged, file, fmt.Errorf(format, args...))
}

// verifyManifest checks that the manifest can be read, and that its tables are there. It
// returns which of the tables are in it.
func verifyManifest(opt badger.Options, tables []string, logs bool) (listed, others []string, err error) {
	f, err := os.Open(filepath.Join(opt.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		if len(tables) > 0 || logs {
			// Badger would make a new one, and remove the tables.
			return nil, nil, damage(badger.ManifestFilename, "it is missing")
		}
		return nil, nil, nil // a new database
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, opt.ExternalMagicVersion, opt)
	if err != nil {
		return nil, nil, damage(badger.ManifestFilename, "%w", err)
	}
	there := make(map[uint64]bool, len(tables))
	for _, name := range tables {
		id, err := strconv.ParseUint(strings.TrimSuffix(name, ".sst"), 10, 64)
		if err != nil {
			return nil, nil, damage(name, "not the name of a table")
		}
		there[id] = true
		if _, ok := m.Tables[id]; ok {
			listed = append(listed, name)
		} else {
			others = append(others, name)
		}
	}
	for id, t := range m.Tables {
		if !there[id] {
			return nil, nil, damage(fmt.Sprintf("%06d.sst", id), "it is missing")
		}
		if int(t.Level) >= opt.MaxLevels {
			return nil, nil, damage(badger.ManifestFilename, "table %d is on level %d of %d", id, t.Level, opt.MaxLevels)
		}
	}
	return listed, others, nil
}

func verifyTables(dir string, names []string) error {
	for _, name := range names {
		err := withFile(filepath.Join(dir, name), func(b []byte) error {
			if err := verifyTable(b); err != nil {
				return damage(name, "%w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withFile calls fn with the bytes of a file, which are mapped: a log takes more room
// than there is memory for, and most of it is a hole.
func withFile(file string, fn func(b []byte) error) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return fn(nil)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, syscall.Munmap(b)) }()
	return fn(b)
}

// verifyTable checks the checksums of a table: blocks, then an index, the length of
// the index, its checksum, and the length of that.
func verifyTable(b []byte) error {
	b, sum, err := cutTail(b)
	if err != nil {
		return fmt.Errorf("checksum of the index: %w", err)
	}
	blocks, index, err := cutTail(b)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if len(index) < 8 { // the checksum of nothing is nothing
		return errors.New("no index")
	}
	if !sumIs(sum, index) {
		return errors.New("the index does not match its checksum")
	}
	t := fb.GetRootAsTableIndex(index, 0)
	if t.OffsetsLength() == 0 {
		return errors.New("no blocks")
	}
	for i := range t.OffsetsLength() {
		var at fb.BlockOffset
		t.Offsets(&at, i)
		if end := int64(at.Offset()) + int64(at.Len()); end > int64(len(blocks)) {
			return fmt.Errorf("block %d ends at %d of %d", i, end, len(blocks))
		}
		data, sum, err := cutTail(blocks[at.Offset():][:at.Len()])
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		if !sumIs(sum, data) {
			return fmt.Errorf("block %d does not match its checksum", i)
		}
	}
	return nil
}

// cutTail takes off the end of b what the 4 bytes there say the length of.
func cutTail(b []byte) (rest, tail []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("cut short")
	}
	rest, n := b[:len(b)-4], int64(binary.BigEndian.Uint32(b[len(b)-4:]))
	if n > int64(len(rest)) {
		return nil, nil, fmt.Errorf("%d bytes, of %d", n, len(rest))
	}
	return rest[:int64(len(rest))-n], rest[int64(len(rest))-n:], nil
}

// sumIs reports whether sum, a Checksum of Badger's protobufs, is that of data. Its
// first field, the algorithm, is 0 for CRC32C and so not written.
func sumIs(sum, data []byte) bool {
	var want []byte
	if crc := crc32.Checksum(data, castagnoli); crc != 0 {
		want = binary.AppendUvarint([]byte{2 << 3}, uint64(crc))
	}
	return string(sum) == string(want)
}

// verifyLogs checks the logs of one kind, in the order in which they were written. Of
// the last one a crash may have torn the end, which is cut off as Badger would do; but
// Badger first makes room for an entry of whatever length a torn one claims.
func verifyLogs(dir string, names []string) error {
	for i, name := range names {
		file := filepath.Join(dir, name)
		end, torn := 0, false
		err := withFile(file, func(b []byte) error {
			switch {
			case len(b) == 0: // made by a process that was killed before it wrote
				torn = true
				return nil
			case len(b) < logHeader:
				return damage(name, "%d bytes, less than its header has", len(b))
			case binary.BigEndian.Uint64(b) != 0:
				return damage(name, "its header names a key, and the database has none")
			}
			end = logEnd(b)
			torn = !allZero(b[end:min(end+maxEntry, len(b))])
			if torn && i < len(names)-1 {
				return damage(name, "the entry at %d of %d does not match its checksum", end, len(b))
			}
			return nil
		})
		switch {
		case err != nil:
		case torn && end == 0:
			err = os.Remove(file)
		case torn:
			err = os.Truncate(file, int64(end))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// logEnd returns where the entries of a log end that match their checksums.
func logEnd(b []byte) int {
	at := logHeader
	for {
		n := logEntry(b[at:])
		if n == 0 {
			return at
		}
		at += n
	}
}

// logEntry returns the length of the entry that b begins with, 0 if it has none.
func logEntry(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	at := 2 // two bytes of flags
	var lengths [3]uint64
	for i := range lengths { // of key and value, and the time of expiry
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return 0
		}
		lengths[i] = v
		at += n
	}
	key, value := lengths[0], lengths[1]
	if key == 0 || key > 1<<16 || value > 1<<32-1 || uint64(at)+key+value+crc32.Size > uint64(len(b)) {
		return 0
	}
	at += int(key + value)
	if crc32.Checksum(b[:at], castagnoli) != binary.BigEndian.Uint32(b[at:]) {
		return 0
	}
	return at + crc32.Size
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// verifyRegistry checks the file of keys, which has none: 16 bytes that mean nothing
// without one, and a text. Badger leaves goroutines behind when it cannot read it.
func verifyRegistry(file string) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Badger makes one
	}
	if err != nil {
		return err
	}
	const iv, text = 16, "Hello Badger"
	if len(b) != iv+len(text) || string(b[iv:]) != text {
		return damage(filepath.Base(file), "not that of a database without keys")
	}
	return nil
}

// checkDiscard removes the statistics of the value log if they cannot be right, each
// the number of a file and its dead bytes. They have no checksum, Badger looks for
// impossible numbers for ever, and without them it only reclaims less space.
func checkDiscard(file string, most int64) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	const slot = 16
	ok := len(b) >= slot && len(b)%slot == 0
	for rest := b; ok && len(rest) > 0 && binary.BigEndian.Uint64(rest) != 0; rest = rest[slot:] {
		ok = binary.BigEndian.Uint64(rest) < 1<<32 && binary.BigEndian.Uint64(rest[8:]) <= uint64(most)
	}
	if ok {
		return nil
	}
	return os.Remove(file)
}
