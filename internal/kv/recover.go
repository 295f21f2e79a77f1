package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"millpond/internal/disk"

	"github.com/dgraph-io/badger/v4"
)

// ErrDamaged means that the database, or a part of it, cannot be read. The next Open
// sets it aside.
var ErrDamaged = errors.New("the database is damaged")

// Recovery tells how Open came by the database when it could not use the one that was
// there.
type Recovery struct {
	At       time.Time
	Why      error     // nil if there was no database
	SetAside string    // where the old one is now; "" if there was none, or it is removed by now
	Restored time.Time // when the kept rows were written; zero if there were none
}

// Recovered returns the recovery that Open did; ok is false if it did none.
func (db *DB) Recovered() (r Recovery, ok bool) {
	r = db.recovered
	if _, err := os.Stat(r.SetAside); err != nil {
		r.SetAside = ""
	}
	return r, !r.At.IsZero()
}

// Damage returns the first damage that was read since Open, which wraps ErrDamaged; nil if
// there was none.
func (db *DB) Damage() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.fault
}

// Beside the directory of the database there are
//
//	.kept              the kept rows
//	.room              only takes room (keepReserve)
//	.opening           a byte for each Open that did not end, maxOpenings after damage
//	.damaged-TIME      the last one that was set aside
const (
	keptSuffix    = ".kept"
	openingSuffix = ".opening"
	asideSuffix   = ".damaged-"
	asideTime     = "20060102-150405.000"
)

// maxOpenings is how often the process may die while it opens the database before
// that counts as damage. Once may be a signal.
const maxOpenings = 2

func open(opt badger.Options, r *room, log *slog.Logger, kept ...Kept) (*DB, error) {
	lock, err := lockDir(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	db := &DB{dir: opt.Dir, log: log, lock: lock, room: r, kept: kept, users: new(sync.WaitGroup)}
	if err := db.openOrReplace(opt); err != nil {
		_ = unlockDir(db.lock) // Open failed for another reason
		return nil, fmt.Errorf("opening database %s: %w", opt.Dir, err)
	}
	return db, nil
}

// openOrReplace opens the database, or a new one with the kept rows if that is damaged.
func (db *DB) openOrReplace(opt badger.Options) error {
	fresh, err := isEmpty(db.dir)
	if err != nil {
		return err
	}
	if !fresh {
		if err = db.openFiles(opt, false); err == nil {
			return nil
		}
		if !errors.Is(err, ErrDamaged) {
			return err
		}
		if err := db.setAside(err); err != nil {
			return err
		}
	}
	if err := db.openFiles(opt, true); err != nil {
		return err
	}
	if err := db.restore(); err != nil {
		return errors.Join(err, guard(db.badger.Close))
	}
	if r, _ := db.Recovered(); r.Why != nil {
		db.log.Error("the database could not be read: it was set aside, and a new one made", "err", r.Why,
			"set_aside", r.SetAside, "restored_as_of", r.Restored)
	} else if !r.At.IsZero() {
		db.log.Warn("there was no database: a new one was made, with the rows kept beside it", "restored_as_of", r.Restored)
	}
	return nil
}

func isEmpty(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	return len(entries) == 0, err
}

// openFiles opens the database in db.dir, which is empty if it is fresh. An error wraps
// ErrDamaged unless it is about this machine.
func (db *DB) openFiles(opt badger.Options, fresh bool) error {
	if err := db.room.prepare(); err != nil {
		return err
	}
	marker := db.dir + openingSuffix
	tries, err := os.ReadFile(marker)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(tries) >= maxOpenings {
		return fmt.Errorf("%w: it could not be read, or ended the process while it was being opened, the last time", ErrDamaged)
	}
	var orphans bool
	err = guard(func() (err error) {
		orphans, err = verifyFiles(opt)
		return err
	})
	if err != nil {
		return asDamage(err)
	}
	if err := os.WriteFile(marker, append(tries, 1), 0o600); err != nil {
		return err
	}
	err = guard(func() (err error) {
		db.badger, err = badger.Open(opt)
		return err
	})
	if err == nil && !fresh {
		if err = errors.Join(db.compareKept(orphans), db.checkValues()); err != nil {
			err = errors.Join(err, guard(db.badger.Close))
		}
	}
	if err == nil {
		_ = db.room.check(false)   // makes the first spare; without one, writes say why
		_ = db.room.keepReserve(0) // the room was this database's before; Run tries again
	}
	return errors.Join(asDamage(err), os.Remove(marker))
}

// checkValues reads all that is in the value log. Badger does not notice that a file
// of it is missing.
func (db *DB) checkValues() error {
	return guard(func() error {
		return db.badger.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				item := it.Item()
				if item.ValueSize() <= db.badger.Opts().ValueThreshold/2 { // it is a guess for what is in the log
					continue
				}
				if err := readValue(item, func([]byte) error { return nil }); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// setAside moves the database away and makes an empty directory for a new one. The
// ones set aside before are removed.
func (db *DB) setAside(why error) error {
	if err := tryDisk(filepath.Dir(db.dir)); err != nil {
		// It is the disk that does not work, and it may come back.
		return fmt.Errorf("%w: %w", why, err)
	}
	now := time.Now()
	aside := db.dir + asideSuffix + now.UTC().Format(asideTime)
	if err := os.Rename(db.dir, aside); err != nil {
		return fmt.Errorf("%w; setting it aside: %w", why, err)
	}
	lock, err := lockDir(db.dir)
	if err != nil {
		return err
	}
	_ = unlockDir(db.lock) // nobody opens what was set aside
	db.lock = lock
	db.recovered = Recovery{At: now, Why: why, SetAside: aside}
	if err := os.Remove(db.dir + openingSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = removeAside(db.dir, aside)
	return errors.Join(err, disk.SyncDir(filepath.Dir(db.dir)))
}

// tryDisk returns an error if the disk does not take a file in dir.
func tryDisk(dir string) error {
	f, err := os.CreateTemp(dir, "trial-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4096))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// setAsides are the databases that were set aside in the place of that in dir.
func setAsides(dir string) ([]string, error) {
	return filepath.Glob(globText.Replace(dir) + asideSuffix + "*")
}

// RemoveAside removes the databases that were set aside in the place of that in dir, and
// returns how many bytes they took. They are kept for whoever wants to know what was
// wrong with them, as long as there is room for all else.
func RemoveAside(dir string) (freed int64, err error) { return removeAside(dir, "") }

// removeAside is RemoveAside but for the directory keep.
func removeAside(dir, keep string) (freed int64, err error) {
	all, err := setAsides(dir)
	for _, old := range all {
		if old == keep {
			continue
		}
		n, sizeErr := sizeOf(old)
		if e := errors.Join(sizeErr, os.RemoveAll(old)); e != nil {
			err = errors.Join(err, e)
			continue
		}
		freed += n
	}
	return freed, err
}

// RemoveAside removes what was set aside in the place of this database.
func (db *DB) RemoveAside() (freed int64, err error) { return RemoveAside(db.dir) }

// globText makes a pattern that matches a text.
var globText = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// damaged returns err as an error that wraps ErrDamaged, and has the next Open set the
// database aside; but not for an error of this machine.
func (db *DB) damaged(err error) error {
	if errors.Is(err, syscall.EIO) {
		return err // the disk may be back at the next start, which reads everything
	}
	err = asDamage(err)
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.fault != nil {
		return err
	}
	db.fault = err
	db.log.Error("the database is damaged: at the next start it is set aside, and a new one made", "err", err)
	if err := os.WriteFile(db.dir+openingSuffix, make([]byte, maxOpenings), 0o600); err != nil {
		db.log.Warn("the next start does not know that the database is damaged", "err", err)
	}
	return err
}

// ofMachine are errors that another database would have too.
var ofMachine = []syscall.Errno{
	syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
}

// asDamage has err, if it is one of Badger's, wrap ErrDamaged, unless it is about this
// machine. Badger passes on the texts of errors only.
func asDamage(err error) error {
	if err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, fs.ErrClosed) {
		return err
	}
	for _, e := range ofMachine {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// guard makes a panic of Badger an error that wraps ErrDamaged, and one that wraps EIO of
// what the disk cannot read through a memory map. It cannot do that for the goroutines
// that Badger starts.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p, ours := p.(callerPanic); ours {
			panic(p)
		}
		if _, fault := p.(interface{ Addr() uintptr }); fault {
			err = fmt.Errorf("%w: reading it through a memory map: %v", syscall.EIO, p)
			return
		}
		if p != nil {
			err = fmt.Errorf("%w: panic while reading it: %.1000v", ErrDamaged, p)
		}
	}()
	return fn()
}

// callerPanic is a panic of what Scan calls. It passes guard.
type callerPanic struct {
	value any
	stack string
}

func (p callerPanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// callScanned calls what a caller of Scan wants to be called.
func callScanned(fn func(key, value []byte) bool, key, value []byte) bool {
	defer func() {
		if p := recover(); p != nil {
			panic(callerPanic{p, string(debug.Stack())})
		}
	}()
	return fn(key, value)
}
