package access

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// maxAccepted bounds what is remembered, about 10 MB: a thousand clients that
// install sixty packages a day. A login beyond is asked for again.
const maxAccepted = 64 << 10

// Keeper is where what mirrors accepted is kept.
type Keeper struct {
	Names *kv.Table
	Log   *slog.Logger
}

// Keys of the table of names: one for the key of the hashes, and one for each
// mark.
const (
	secretKey  = "access key"
	markPrefix = "access/"
)

// IsLogin reports whether a row of the table of names is about accepted logins.
func IsLogin(key []byte) bool {
	return string(key) == secretKey || bytes.HasPrefix(key, []byte(markPrefix))
}

// mark stands for a login that a host accepted for a file: keyed hashes, so that
// nobody finds out a login by trying.
type mark struct {
	host [8]byte
	all  [16]byte
}

// accepted remembers when logins were accepted, on disk too.
type accepted struct {
	Keeper
	key []byte // of the hashes
	max int

	mu    sync.Mutex // guards times
	times map[mark]acceptance
}

// acceptance is the last one, at a time from which time.Since measures what has passed,
// however the clock is set. That of a login of the box stays as long as there
// is room: with its mirror away, the box's clients have no other.
type acceptance struct {
	at    time.Time
	stays bool
}

// value is a as it is kept on disk.
func (a acceptance) value() []byte {
	v := binary.BigEndian.AppendUint64(nil, uint64(a.at.UnixNano()))
	if a.stays {
		v = append(v, 1)
	}
	return v
}

// parseAcceptance reads what an earlier process kept. One by a clock that was ahead
// counts as long ago.
func parseAcceptance(v []byte) (a acceptance, ok bool) {
	if len(v) != 8 && len(v) != 9 {
		return a, false
	}
	at := clock.Recall(time.Unix(0, int64(binary.BigEndian.Uint64(v))))
	if time.Since(at) < 0 {
		at = time.Now().Add(-acceptedFor)
	}
	return acceptance{at, len(v) == 9}, true
}

// newAccepted reads what is kept. What cannot be read is asked for again.
func newAccepted(k Keeper) *accepted {
	a := &accepted{Keeper: k, max: maxAccepted, times: make(map[mark]acceptance)}
	if err := a.load(); err != nil {
		a.Log.Warn("accepted logins not readable, mirrors are asked again", "err", err)
	}
	return a
}

func (a *accepted) load() error {
	var err error
	if a.key, err = a.Names.Get([]byte(secretKey)); errors.Is(err, fs.ErrNotExist) {
		a.key = make([]byte, sha256.Size)
		rand.Read(a.key) // never fails
		return a.Names.Put([]byte(secretKey), a.key)
	}
	if err != nil {
		a.key = make([]byte, sha256.Size)
		rand.Read(a.key)
		return err
	}
	return a.Names.Scan([]byte(markPrefix), nil, func(key, value []byte) bool {
		m, ok := parseMark(key)
		last, fits := parseAcceptance(value)
		if ok && fits {
			a.times[m] = last
		}
		return len(a.times) < a.max
	})
}

func (m mark) tableKey() []byte {
	return append(append([]byte(markPrefix), m.host[:]...), m.all[:]...)
}

func parseMark(key []byte) (m mark, ok bool) {
	key = key[len(markPrefix):]
	if len(key) != len(m.host)+len(m.all) {
		return m, false
	}
	copy(m.all[:], key[copy(m.host[:], key):])
	return m, true
}

// mark names a login's access to d at l.
func (a *accepted) mark(l catalog.Location, login mirror.Login, d digest.Digest) (m mark) {
	sum := func(parts ...string) []byte {
		h := hmac.New(sha256.New, a.key)
		for _, p := range parts {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
			h.Write([]byte(p))
		}
		return h.Sum(nil)
	}
	copy(m.host[:], sum(l.Host))
	copy(m.all[:], sum(l.String(), string(login), string(d[:])))
	return m
}

// last returns when login was accepted last for d at l.
func (a *accepted) last(l catalog.Location, login mirror.Login, d digest.Digest) time.Time {
	m := a.mark(l, login, d)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.times[m].at
}

// note remembers that login was accepted for d at l.
func (a *accepted) note(l catalog.Location, login mirror.Login, d digest.Digest, last acceptance) {
	m := a.mark(l, login, d)
	a.mu.Lock()
	var gone []mark
	if len(a.times) >= a.max {
		gone = a.makeRoom(last.at)
	}
	a.times[m] = last
	a.mu.Unlock()
	err := errors.Join(a.forget(gone), a.Names.Put(m.tableKey(), last.value()))
	if err != nil {
		a.Log.Warn("accepted login not kept", "host", l.Host, "err", err)
	}
}

// makeRoom forgets what is too old, or else the older half of the host that has
// the most, and returns what it forgot. a.mu is held.
func (a *accepted) makeRoom(now time.Time) []mark {
	if old := a.drop(now); len(old) > 0 {
		return old
	}
	byHost := make(map[[8]byte][]mark)
	for m := range a.times {
		byHost[m.host] = append(byHost[m.host], m)
	}
	most := slices.MaxFunc(slices.Collect(maps.Values(byHost)), func(x, y []mark) int { return cmp.Compare(len(x), len(y)) })
	slices.SortFunc(most, func(x, y mark) int { return a.times[x].at.Compare(a.times[y].at) })
	most = most[:(len(most)+1)/2]
	for _, m := range most {
		delete(a.times, m)
	}
	return most
}

// drop forgets what is too old and returns it. a.mu is held.
func (a *accepted) drop(now time.Time) (gone []mark) {
	for m, last := range a.times {
		if !last.stays && now.Sub(last.at) >= acceptedFor {
			delete(a.times, m)
			gone = append(gone, m)
		}
	}
	return gone
}

// forget removes marks from the table.
func (a *accepted) forget(gone []mark) error {
	if len(gone) == 0 {
		return nil
	}
	b := a.Names.Batch()
	defer b.Cancel()
	for _, m := range gone {
		if err := b.Delete(m.tableKey()); err != nil {
			return err
		}
	}
	return b.Flush()
}

func (a *accepted) sweep(now time.Time) error {
	a.mu.Lock()
	gone := a.drop(now)
	a.mu.Unlock()
	return a.forget(gone)
}
