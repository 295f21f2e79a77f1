package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"millpond/internal/digest"
)

// reconcilers is how many directories are reconciled at once: a disk answers several
// requests at once sooner than one after another, and 200,000 files take a second of the
// processor's time.
const reconcilers = 4

// reconcile brings table and directory in step, and counts. The directory is
// right: files without a row were verified and synced before they got their
// name, rows without a file are of no use. A file of another size than its row
// says is torn, and is removed.
func (s *Store) reconcile() error {
	_, err := s.table.Get(indexedKey)
	indexed := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var g errgroup.Group
	g.SetLimit(reconcilers)
	for i := range 256 {
		g.Go(func() error { return s.reconcileDir(byte(i), indexed) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !indexed {
		if err := s.table.Put(indexedKey, nil); err != nil {
			return err
		}
	}
	return s.reconcilePartials()
}

// reconcileDir reconciles one fan-out directory. It holds its rows in memory:
// 1/256 of the store's.
func (s *Store) reconcileDir(b byte, indexed bool) error {
	rows, err := s.rowsOf(b)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(s.fanOut(b))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there was no such blob yet
		return err
	}
	s.durable[b].Store(err == nil) // prepare has synced their parent
	var changes, unindexed []change
	for _, e := range entries {
		d, err := digest.Parse(e.Name())
		if err != nil || d[0] != b || d.String() != e.Name() {
			s.log.Warn("file among the blobs that is none, left alone", "file", filepath.Join(s.fanOut(b), e.Name()))
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		r, known := rows[d]
		switch {
		case !info.Mode().IsRegular() || known && r.size != info.Size():
			s.log.Warn("torn blob removed", "digest", d, "bytes", info.Size(), "want", r.size)
			if err := os.Remove(s.blobPath(d)); err != nil {
				return err
			}
			continue // its row is dropped with those that have no file
		case !known:
			at := info.ModTime()
			r = row{size: info.Size(), modified: at.Unix(), used: at.UnixNano(), private: privateBy(info.Mode())}
			changes = append(changes, change{d, nil, &r})
		case r.old || !indexed:
			unindexed = append(unindexed, change{d, nil, &r})
		}
		delete(rows, d)
		s.mu.Lock()
		s.count.add(r, 1)
		s.mu.Unlock()
	}
	if len(changes)+len(rows) > 0 {
		s.log.Info("table of blobs repaired", "directory", s.fanOut(b), "added", len(changes), "dropped", len(rows))
	}
	for d, r := range rows {
		changes = append(changes, change{d, &r, nil})
	}
	s.meta.Lock()
	defer s.meta.Unlock()
	return s.apply(append(changes, unindexed...)...)
}

func (s *Store) rowsOf(b byte) (map[digest.Digest]row, error) {
	rows := make(map[digest.Digest]row)
	var bad [][]byte
	err := s.table.Scan([]byte{'b', b}, nil, func(k, v []byte) bool {
		r, err := decodeRow(v)
		if err == nil && len(k) != 1+digest.Size {
			err = errors.New("its key is not that of a blob")
		}
		if err != nil {
			// As if it were lost: a new one is made from the file.
			s.log.Warn("row of a blob cannot be read, its pins and names are lost", "key", fmt.Sprintf("%x", k[1:]), "err", err)
			bad = append(bad, bytes.Clone(k))
			return true
		}
		rows[digest.Digest(k[1:])] = r
		return true
	})
	for _, k := range bad {
		err = errors.Join(err, s.table.Delete(k))
	}
	return rows, err
}

// reconcilePartials takes stock of the partial files and removes what cannot
// be resumed.
func (s *Store) reconcilePartials() error {
	entries, err := os.ReadDir(s.partialDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		base := strings.TrimSuffix(name, mapSuffix)
		d, err := digest.Parse(base)
		if err == nil && base != name {
			if _, err := os.Lstat(s.partialPath(d)); err == nil {
				continue // the map of a file that is handled by itself
			}
		}
		if err == nil && base == name && s.resumable(d) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.partialDir(), name)); err != nil {
			return fmt.Errorf("sweeping: %w", err)
		}
	}
	s.sweepIdle(time.Now().Add(-maxIdleAge))
	return nil
}

// resumable counts the partial file of d as idle, if it has any bytes.
func (s *Store) resumable(d digest.Digest) bool {
	path := s.partialPath(d)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	if _, err := s.row(d); !errors.Is(err, fs.ErrNotExist) {
		_ = removePartial(path) // held as a whole; removed at the next start, if not now
		return false
	}
	there := readMap(path).there
	if len(there) == 0 {
		_ = removePartial(path)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addIdle(d, idle{bytes: there.total(), used: info.ModTime()})
	return true
}
