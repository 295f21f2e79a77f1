package keyring

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// lookEvery is how often Watch looks at the files: some dozens of stat calls.
// Looking finds what the kernel's notices miss: changes on a network file
// system, behind a bind mount or a mounted Secret's links, and directories that
// are made later.
const lookEvery = time.Second

// Watch keeps k in step with the directories that Load was given, and calls
// changed after each change, until ctx ends; then it returns nil. It is called
// once.
//
// A change counts when two looks in a row have seen the same, so that neither a
// half-written file nor a moment without one does. A file that can then not be
// used keeps the keys that it had until it is right or gone; so do the files
// of a directory that cannot be read.
func (k *Keyring) Watch(ctx context.Context, log *slog.Logger, changed func()) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if k.files.look(log) {
			k.keys.Store(k.files.keys())
			log.Info("archive keys changed", "keys", k.Len())
			changed()
		}
	}
}

// files is what a Keyring's files held when they were last read.
type files struct {
	dirs   []string
	known  map[string]*file  // by path
	faults map[string]string // by directory: why it cannot be read, as logged
}

// file is one of them.
type file struct {
	state state // in which it was read
	next  state // in which the last look found it
	keys  openpgp.EntityList
	fault string // why it cannot be read, as logged
}

// state tells one content of a file from another. The zero state is that of no
// file.
type state struct {
	info  fs.FileInfo
	fault string // why there is no info, "" if that is because there is no file
}

// stateOf follows links: mounted Secrets are made of them.
func stateOf(path string) state {
	info, err := os.Stat(path)
	if err != nil {
		return state{fault: err.Error()}
	}
	return state{info: info}
}

func (s state) is(o state) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil && s.fault == o.fault
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() &&
		s.info.ModTime().Equal(o.info.ModTime()) && s.info.Mode() == o.info.Mode()
}

// keys makes a Keyring's state of what the files hold.
func (f *files) keys() *keys {
	k := &keys{byID: make(map[uint64]openpgp.EntityList)}
	for _, path := range slices.Sorted(maps.Keys(f.known)) {
		for _, entity := range f.known[path].keys {
			k.add(path, entity)
		}
	}
	k.sort()
	return k
}

// look reads the files that have changed, and reports whether there were any.
func (f *files) look(log *slog.Logger) (changed bool) {
	seen := f.list(log)
	for path := range seen {
		if f.known[path] == nil {
			f.known[path] = new(file)
		}
	}
	for path, known := range f.known {
		now, listed := seen[path]
		settled := now.is(known.next)
		known.next = now
		if settled && !now.is(known.state) {
			read, err := known.read(path, now)
			known.report(path, read, err, log)
			changed = changed || read
		}
		if !listed && known.state.is(state{}) {
			delete(f.known, path)
		}
	}
	return changed
}

// list returns the key files of all directories, those of a directory that
// cannot be read as they were.
func (f *files) list(log *slog.Logger) map[string]state {
	all := make(map[string]state)
	for _, dir := range f.dirs {
		seen, err := list(dir)
		fault := ""
		if err != nil {
			fault = err.Error()
			for path, known := range f.known {
				if filepath.Dir(path) == filepath.Clean(dir) {
					all[path] = known.state
				}
			}
		}
		if fault != "" && fault != f.faults[dir] {
			log.Warn("keyring directory unreadable, its former keys stay in force", "err", err)
		}
		f.faults[dir] = fault
		maps.Copy(all, seen)
	}
	return all
}

// read brings a file's keys up to date with its state now, as far as possible.
func (f *file) read(path string, now state) (changed bool, err error) {
	var keys openpgp.EntityList
	if !now.is(state{}) {
		keys, err = readKeys(path)
	}
	var failed *fs.PathError
	if errors.As(err, &failed) { // not the content's fault: the next look tries again
		return false, err
	}
	f.state = now
	if err != nil && len(keys) == 0 {
		return false, err
	}
	f.keys = keys
	return true, err
}

// report logs what read has found.
func (f *file) report(path string, changed bool, err error, log *slog.Logger) {
	if changed {
		log.Info("archive key file changed", "file", path, "keys", len(f.keys))
	}
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != f.fault {
		log.Warn("archive key file unusable, its former keys stay in force", "file", path, "err", err)
	}
	f.fault = fault
}
