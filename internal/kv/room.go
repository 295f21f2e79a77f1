package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"millpond/internal/disk"
)

const (
	// Margin is the free space in bytes below which the database takes no ordinary
	// writes: a memtable and what a compaction makes at once have room in it, so
	// that what was accepted before can be put away.
	Margin = 32 << 20
	// MarginFiles is likewise a number of files. A compaction makes tables of 1 MB.
	MarginFiles = 64
	// OpenRoom is the space in bytes that Open needs: for two logs of memtables, a value
	// log, and the table of what the last process left in its log. What is Reserved
	// counts, the rest must be free.
	OpenRoom = 48 << 20
	// reserveRoom is what is reserved for it: a stop on a full disk takes the room of its
	// tables from that.
	reserveRoom = 64 << 20

	memTableSize = 8 << 20
	logSize      = 2 * memTableSize // Badger makes it so
	logExt       = ".mem"
)

// ErrRefused means that the database takes no writes for now, since the disk is nearly
// full (then syscall.ENOSPC is wrapped too) or does not work. Reads go on.
var ErrRefused = errors.New("the database takes no writes")

// room sees to it that what is written through memory maps has blocks on the disk, and
// refuses writes in time. Badger's process ends where it cannot make the log of its next
// memtable. So the file of that, the spare, is there before, empty and with its blocks,
// and no write is accepted without it. What is written at the same time fills far less
// than one log.
type room struct {
	dir string

	mu     sync.Mutex // guards all below
	spare  string     // the file of the next memtable's log; "" before the first
	failed error      // why Badger last could not write a file
}

// prepare sees to it that Badger can open the database.
func (r *room) prepare() error {
	has, err := r.reserved()
	if err != nil {
		return err
	}
	d, err := disk.Of(r.dir)
	if err != nil {
		return err
	}
	if d.Free+has < OpenRoom || d.Files < MarginFiles {
		return fmt.Errorf("%w: %d MiB and %d files are free on its disk and a start needs %d MiB and %d files",
			syscall.ENOSPC, (d.Free+has)>>20, d.Files, OpenRoom>>20, MarginFiles)
	}
	if err := r.dropSpares(); err != nil {
		return err
	}
	if d.Free < OpenRoom {
		return r.dropReserve()
	}
	return nil
}

// check refuses a write that there is no room for, with ErrRefused. Writes that free
// room elsewhere may go on to the end of the spare.
func (r *room) check(frees bool) error {
	if err := r.look(frees); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

func (r *room) look(frees bool) error {
	d, err := disk.Of(r.dir)
	switch {
	case err != nil:
		return err
	case d.ReadOnly:
		return syscall.EROFS
	case !frees && d.Free < Margin:
		return fmt.Errorf("%w: %d MiB are free, and the database needs %d", syscall.ENOSPC, d.Free>>20, Margin>>20)
	case !frees && d.Files < MarginFiles:
		return fmt.Errorf("%w: the disk has room for %d more files, and the database needs %d", syscall.ENOSPC, d.Files, MarginFiles)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.keepSpare(); err != nil {
		return err
	}
	return r.stuck()
}

// keepSpare makes the next log's file, unless it is there. Caller holds mu.
func (r *room) keepSpare() error {
	if info, err := os.Stat(r.spare); err == nil && info.Size() == 0 {
		return nil
	}
	logs, err := r.logs()
	if err != nil {
		return err
	}
	last := 0
	for _, path := range logs {
		n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), logExt))
		if err != nil {
			return fmt.Errorf("finding the database's last log: %w", err)
		}
		last = max(last, n)
	}
	spare := filepath.Join(r.dir, fmt.Sprintf("%05d%s", last+1, logExt))
	f, err := os.OpenFile(spare, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(allocate(f, logSize), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("reserving the database's next log: %w", err), os.Remove(spare))
	}
	r.spare = spare
	return nil
}

// stuck returns why memtables are not written to tables, if they are not: Badger tries
// again and again, and stops all writers meanwhile. Caller holds mu.
func (r *room) stuck() error {
	if r.failed == nil {
		return nil
	}
	logs, err := r.logs()
	if err != nil {
		return err
	}
	if len(logs) > 1 {
		return fmt.Errorf("the database cannot write its tables: %w", r.failed)
	}
	r.failed = nil
	return nil
}

// noteFailure remembers an error that Badger has logged: it tells nobody else.
func (r *room) noteFailure(args []any) {
	for _, a := range args {
		if err, ok := a.(error); ok {
			r.mu.Lock()
			r.failed = err
			r.mu.Unlock()
		}
	}
}

// failure returns what Badger last failed with.
func (r *room) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// logFiles returns the logs of memtables, with spares.
func (r *room) logFiles() ([]string, error) {
	return filepath.Glob(globText.Replace(r.dir) + "/*" + logExt)
}

// logs returns the logs of memtables, but for spares.
func (r *room) logs() ([]string, error) {
	all, err := r.logFiles()
	if err != nil {
		return nil, err
	}
	var logs []string
	for _, path := range all {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // put into a table just now
		case err != nil:
			return nil, err
		case info.Size() > 0:
			logs = append(logs, path)
		}
	}
	return logs, nil
}

// dropSpares removes empty logs, which Badger does not open.
func (r *room) dropSpares() error {
	all, err := r.logFiles()
	if err != nil {
		return err
	}
	for _, path := range all {
		if info, err := os.Stat(path); err != nil || info.Size() > 0 {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
