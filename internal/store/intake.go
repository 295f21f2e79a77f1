package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
)

// ErrChanged means that a file was written to while it was taken in.
var ErrChanged = errors.New("the file changed while it was read")

// settled is how long ago a file must have been written last to be linked: programs that
// download write a file as it comes, and one that is linked changes with its other name.
const settled = time.Minute

// takeChunk is read at once; larger ones are not faster.
const takeChunk = 256 << 10

var takeChunks = sync.Pool{New: func() any { return new([takeChunk]byte) }}

// Intake makes blobs of files that somebody else has made, by linking them where that is
// possible, many at a time: they are synced together. Add is called for each, and then
// Commit, with which they become blobs, or Discard. An Intake takes free room, up to the
// low mark, and evicts nothing. It is for one goroutine; several may be in use at once.
type Intake struct {
	s       *Store
	files   map[digest.Digest]*intake
	sharing disk.Sharing
}

// intake is a file that was added, and is not a blob yet.
type intake struct {
	temp     string // in partial/
	size     int64
	reserved int64
	m        Meta
}

// NewIntake begins with no files.
func (s *Store) NewIntake() *Intake { return &Intake{s: s, files: make(map[digest.Digest]*intake)} }

// Len is how many files were added and are not blobs yet.
func (in *Intake) Len() int { return len(in.files) }

// Taken is what became of a file.
type Taken struct {
	Digest digest.Digest
	Held   bool     // its bytes were held, or added, before
	Way    disk.Way // how the blob got its bytes, unless Held
}

// Add hashes f, which is at its beginning, and prepares a blob of it. describe is told its
// digest, and returns what is to be known of it, or an error, which Add returns: then there
// is no blob. Of one that is held, the name and the party are brought up to date; a private
// one stays private. The other errors are ErrChanged, those of reading and of ctx, ErrNoSpace
// and ErrDisk. With all of them Taken has the digest if it is known.
func (in *Intake) Add(ctx context.Context, f *os.File, describe func(digest.Digest) (Meta, error)) (t Taken, err error) {
	before, err := f.Stat()
	if err != nil {
		return t, err
	}
	if !before.Mode().IsRegular() {
		return t, fmt.Errorf("%s is no regular file", f.Name())
	}
	size := before.Size()
	sum, err := copyHashed(ctx, io.Discard, f, size)
	if err != nil {
		return t, err
	}
	if err := unchanged(f, before); err != nil {
		return t, err
	}
	t.Digest = sum
	m, err := describe(sum)
	if err != nil {
		return t, err
	}
	if in.files[sum] != nil {
		t.Held = true
		return t, nil
	}
	if err := in.s.heldAlready(sum, m); !errors.Is(err, fs.ErrNotExist) {
		t.Held = err == nil
		return t, err
	}
	t.Way, err = in.prepare(ctx, f, before, sum, m)
	return t, err
}

// heldAlready notes what is known of a blob that is held. The error wraps fs.ErrNotExist if
// it is not.
func (s *Store) heldAlready(d digest.Digest, m Meta) error {
	if err := s.Annotate(d, m); err != nil {
		return err
	}
	if m.Party != "" {
		return nil
	}
	return s.Listed(d, true)
}

// unchanged returns ErrChanged if f was written to since before.
func unchanged(f *os.File, before fs.FileInfo) error {
	now, err := f.Stat()
	if err == nil && (now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime())) {
		err = ErrChanged
	}
	return err
}

// copyHashed copies the size bytes of f, and returns their digest.
func copyHashed(ctx context.Context, w io.Writer, f io.Reader, size int64) (digest.Digest, error) {
	buf := takeChunks.Get().(*[takeChunk]byte)
	defer takeChunks.Put(buf)
	h := digest.NewHasher()
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return digest.Digest{}, context.Cause(ctx)
		}
		k, err := f.Read(buf[:])
		n += int64(k)
		if n > size {
			return digest.Digest{}, ErrChanged
		}
		if _, err := h.Write(buf[:k]); err != nil {
			return digest.Digest{}, err
		}
		if _, err := w.Write(buf[:k]); err != nil {
			return digest.Digest{}, err
		}
		switch {
		case errors.Is(err, io.EOF) && n == size:
			return h.Digest(), nil
		case errors.Is(err, io.EOF):
			return digest.Digest{}, ErrChanged
		case err != nil:
			return digest.Digest{}, err
		}
	}
}

// prepare makes a file of f's bytes in partial/.
func (in *Intake) prepare(ctx context.Context, f *os.File, before fs.FileInfo, d digest.Digest, m Meta) (w disk.Way, err error) {
	s, size := in.s, before.Size()
	if err := s.stuck(); err != nil {
		return w, err
	}
	bucket := bucketOf(m.Party)
	if err := s.reserve(size, 0, bucket, true); err != nil {
		return w, s.diskFault(err)
	}
	file := &intake{size: size, reserved: size, m: m}
	defer func() {
		if err != nil {
			in.drop(file)
		}
	}()
	file.temp = filepath.Join(s.partialDir(), newPrefix+rand.Text())
	shared := false
	err = s.makeFile(s.partialDir(), func() (err error) {
		w, shared, err = in.sharing.Share(f, file.temp, mayLink(before))
		return err
	})
	switch {
	case err != nil:
	case shared:
		err = unchanged(f, before)
	default:
		err = in.copy(ctx, f, file, d)
	}
	if err == nil && w == disk.Cloned {
		err = s.diskFault(os.Chmod(file.temp, m.row(0, time.Time{}).mode()))
	}
	if err != nil {
		return w, err
	}
	in.files[d] = file
	return w, nil
}

// mayLink reports whether a blob may be a further name of a file: one that all may read, as
// the mode of a blob says whether it is private, and that not all may change.
func mayLink(i fs.FileInfo) bool {
	return i.Mode().Perm()&0o446 == 0o444 && time.Since(i.ModTime()) > settled
}

// copy writes the bytes of f, which must be those that d names, to file.
func (in *Intake) copy(ctx context.Context, f *os.File, file *intake, d digest.Digest) error {
	s := in.s
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	dst, err := os.OpenFile(file.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return s.diskFault(err)
	}
	sum, err := copyHashed(ctx, guarded{s, dst}, f, file.size)
	if err == nil && sum != d {
		err = ErrChanged
	}
	if err == nil {
		err = s.diskFault(dst.Chmod(file.m.row(0, time.Time{}).mode()))
	}
	return errors.Join(err, s.diskFault(dst.Close()))
}

// guarded writes to a disk that may run out of room.
type guarded struct {
	s    *Store
	file *os.File
}

func (g guarded) Write(b []byte) (int, error) {
	if err := g.s.mayWrite(len(b)); err != nil {
		return 0, g.s.diskFault(err)
	}
	n, err := g.file.Write(b)
	return n, g.s.diskFault(err)
}

// drop gives up a file, and its room.
func (in *Intake) drop(file *intake) {
	in.s.unreserve(file.reserved, 0, bucketOf(file.m.Party))
	if file.temp == "" {
		return
	}
	if err := os.Remove(file.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.s.log.Debug("temporary file stays until the next start", "err", err)
	}
}

// Discard gives up what was added since the last Commit.
func (in *Intake) Discard() {
	for d, file := range in.files {
		in.drop(file)
		delete(in.files, d)
	}
}

// Commit makes blobs of what was added, which survive a power cut when it returns nil.
// After an error nothing of it is kept.
func (in *Intake) Commit() error {
	if len(in.files) == 0 {
		return nil
	}
	if err := in.moveIn(); err != nil {
		for d, file := range in.files {
			if file.temp == "" { // it has its final name
				in.s.unlistedFile(d)
			}
		}
		in.Discard()
		return fmt.Errorf("keeping files: %w", in.s.diskFault(err))
	}
	if err := in.list(); err != nil {
		in.Discard() // the files that have no row yet are taken in at the next start
		return fmt.Errorf("keeping files: %w", in.s.diskFault(err))
	}
	in.s.worked()
	return nil
}

// moveIn syncs the files, gives them their final names, and syncs these.
func (in *Intake) moveIn() error {
	s := in.s
	if err := in.syncAll("sync"); err != nil {
		return err
	}
	for d, file := range in.files {
		if err := s.makeFanOut(d[0]); err != nil {
			return err
		}
		if err := s.fault("name"); err != nil {
			return err
		}
		if err := s.makeFile(s.fanOut(d[0]), func() error { return disk.Move(file.temp, s.blobPath(d)) }); err != nil {
			return err
		}
		file.temp = ""
	}
	return in.syncAll("syncdir")
}

func (in *Intake) syncAll(op string) error {
	if err := in.s.fault(op); err != nil {
		return err
	}
	return disk.SyncAll(in.s.dir)
}

// unlistedFile removes the file of a blob that is not in the table.
func (s *Store) unlistedFile(d digest.Digest) {
	s.meta.Lock()
	defer s.meta.Unlock()
	if _, err := s.row(d); errors.Is(err, fs.ErrNotExist) {
		if err := s.removeBlob(d); err != nil {
			s.log.Warn("file of a blob that could not be kept stays", "digest", d, "err", err)
		}
	}
}

// list enters the files, which have their final names, into the table.
func (in *Intake) list() error {
	s := in.s
	s.meta.Lock()
	defer s.meta.Unlock()
	var changes []change
	now := s.now()
	for d, file := range in.files {
		_, err := s.listedRow(d)
		if err == nil { // a download was faster: its row stands
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if _, err := os.Lstat(s.blobPath(d)); err != nil {
			return err // it came in otherwise, and was removed since
		}
		r := file.m.row(file.size, now)
		changes = append(changes, change{d, nil, &r})
	}
	if err := s.apply(changes...); err != nil {
		return err
	}
	for _, c := range changes {
		s.dropIdle(c.d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, file := range in.files {
		s.count.partial -= file.reserved
		s.count.unwritten -= file.reserved
		s.count.shares.reserve(bucketOf(file.m.Party), -file.reserved)
		s.found(d)
		delete(in.files, d)
	}
	for _, c := range changes {
		s.count.add(*c.new, 1)
		s.emit(Event{Digest: c.d, Size: c.new.size, Held: true})
	}
	return nil
}
