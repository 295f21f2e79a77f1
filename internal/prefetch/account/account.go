// Package account keeps what fetching ahead costs and what it was good for: the bytes
// that were taken from mirrors and other boxes, how many of them clients then got, and
// how many were wasted; in sums, for the last waves, and for the day, of which the
// budget limits the bytes; what days have left of it may be spent within a week. It survives restarts.
//
// Its figures never flatter. A file counts as used when clients got as many bytes from
// the held file as it has, and for no more than was taken for it. It is wasted when it
// was evicted before that, when a client had to have it fetched again, or after 14 days.
// What is not decided yet is neither. What came in attempts that failed is a cost as well.
package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

const (
	// Patience is how long a file may wait for a client. A site's machines update
	// within days; who was on leave for two weeks is served by the mirror if need be.
	Patience = 14 * 24 * time.Hour
	// maxOpen bounds the files that are not decided yet, 2 MB of memory; beyond it the
	// oldest count as wasted.
	maxOpen = 20_000
	// maxWaves is how many waves are remembered: some weeks of Debian's updates.
	maxWaves = 20
	// maxSuites bounds the suites that are named of a wave.
	maxSuites = 20
)

// Cost is what was fetched ahead, and what became of it. Files that are neither used nor
// wasted are not decided yet.
type Cost struct {
	Files                    int64 // that are complete
	FromPeers, FromMirrors   int64 // bytes, of incomplete files, too
	UsedFiles, UsedBytes     int64
	WastedFiles, WastedBytes int64
}

func (c *Cost) add(d Cost) {
	c.Files += d.Files
	c.FromPeers += d.FromPeers
	c.FromMirrors += d.FromMirrors
	c.UsedFiles += d.UsedFiles
	c.UsedBytes += d.UsedBytes
	c.WastedFiles += d.WastedFiles
	c.WastedBytes += d.WastedBytes
}

// Wave is a run.
type Wave struct {
	ID             int64
	Started, Ended time.Time // Ended is zero while it runs, and for good if the process died
	Manual         bool      // somebody began it, not the change of a suite
	Suites         []string  // URLs, the first 20
	Wanted         int64     // files
	WantedBytes    int64
	Cost
	Failed, NoRoom, NoBudget int64  // files left out
	Error                    string // why it did not fetch all
}

// file is one that is not decided yet.
type file struct {
	Wave      int64
	Taken     int64 // bytes
	Size      int64
	Complete  bool
	Delivered int64     // bytes, to clients
	At        time.Time // when the last bytes came
}

// Account is safe for concurrent use.
type Account struct {
	table  *kv.Table
	limit  int64 // bytes a day
	budget budget
	log    *slog.Logger
	most   int // files that are open

	spending sync.Mutex // held while the budget is written; taken before mu

	mu    sync.Mutex
	began time.Time                  // guarded by mu; since when there are figures
	total Cost                       // guarded by mu
	waves []Wave                     // guarded by mu; the last one at the end
	open  map[digest.Digest]*file    // guarded by mu
	dirty map[digest.Digest]struct{} // guarded by mu; of open or, if not there, to delete
	news  bool                       // guarded by mu; something but open has changed
}

// The keys of the rows: one for all but the files, and one of each file.
const (
	sumsKey    = "sums"
	filePrefix = 'f'
)

// sums are the row of all but the files.
type sums struct {
	Began time.Time
	Total Cost
	Waves []Wave
}

// Open reads what t holds under the keys sums and budget and those that begin with f. limit are
// the bytes that may be taken in a day, 0 for none.
func Open(t *kv.Table, limit int64, log *slog.Logger) (*Account, error) {
	a := &Account{
		table: t, limit: min(limit, math.MaxInt64/saveFor), log: log, most: maxOpen,
		open: make(map[digest.Digest]*file), dirty: make(map[digest.Digest]struct{}),
	}
	if err := a.read(); err != nil {
		return nil, fmt.Errorf("reading what fetching ahead has cost: %w", err)
	}
	return a, nil
}

func (a *Account) read() error {
	var s sums
	if err := a.get(sumsKey, &s); err != nil {
		return err
	}
	if err := a.get(budgetKey, &a.budget); err != nil {
		return err
	}
	if a.budget.Began.IsZero() {
		a.budget = budget{Began: time.Now(), Reading: clock.Read()}
		if err := a.Spend(0); err != nil { // else none would be saved before the first byte
			return err
		}
	}
	if s.Began.IsZero() {
		s.Began, a.news = time.Now().UTC(), true
	}
	a.began, a.total, a.waves = s.Began, s.Total, s.Waves
	return a.table.Scan([]byte{filePrefix}, nil, func(key, value []byte) bool {
		f := new(file)
		if err := json.Unmarshal(value, f); err != nil || len(key) != 1+digest.Size {
			a.log.Warn("a file that was fetched ahead is forgotten, since its row cannot be read", "err", err)
			return true
		}
		f.At = clock.Recall(f.At)
		a.open[digest.Digest(key[1:])] = f
		return true
	})
}

// get reads the record under key into v, which stays as it is if there is none, or none
// that can be read.
func (a *Account) get(key string, v any) error {
	b, err := a.table.Get([]byte(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if err := json.Unmarshal(b, v); err != nil {
			a.log.Warn("figures of what was fetched ahead begin anew, since their row cannot be read", "row", key, "err", err)
		}
	}
	return err
}

func fileKey(d digest.Digest) string { return string(filePrefix) + string(d[:]) }

// Begin begins a wave.
func (a *Account) Begin(manual bool, suites []string) (wave int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wave = 1
	if n := len(a.waves); n > 0 {
		wave = a.waves[n-1].ID + 1
	}
	a.waves = append(a.waves, Wave{ID: wave, Started: time.Now().UTC(), Manual: manual, Suites: slices.Clone(suites[:min(len(suites), maxSuites)])})
	a.waves = slices.Delete(a.waves, 0, max(len(a.waves)-maxWaves, 0))
	a.news = true
	return wave
}

// Note changes what is known of a wave.
func (a *Account) Note(wave int64, change func(*Wave)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.change(wave, change)
}

// change is Note for callers that hold mu.
func (a *Account) change(wave int64, change func(*Wave)) {
	a.news = true
	if i := slices.IndexFunc(a.waves, func(w Wave) bool { return w.ID == wave }); i >= 0 {
		change(&a.waves[i])
	}
}

// charge adds to the sums and to those of a wave. Caller holds mu.
func (a *Account) charge(wave int64, c Cost) {
	a.total.add(c)
	a.change(wave, func(w *Wave) { w.Cost.add(c) })
}

// Took counts the bytes that came for a file, and whether it is held now.
func (a *Account) Took(wave int64, d digest.Digest, size, peers, mirrors int64, complete bool) {
	if peers+mirrors == 0 && !complete {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.charge(wave, Cost{FromPeers: peers, FromMirrors: mirrors})
	f := a.open[d]
	if f == nil {
		if peers+mirrors == 0 {
			return // it was held already
		}
		f = &file{Wave: wave}
		a.open[d] = f
	}
	if complete && !f.Complete {
		f.Complete = true
		a.charge(f.Wave, Cost{Files: 1})
	}
	f.Taken, f.Size, f.At = f.Taken+peers+mirrors, size, time.Now()
	a.dirty[d] = struct{}{}
	for len(a.open) > a.most {
		a.waste(a.oldest())
	}
}

// oldest returns the file that has waited for longest. Caller holds mu.
func (a *Account) oldest() (oldest digest.Digest) {
	for d, f := range a.open {
		if o := a.open[oldest]; o == nil || f.At.Before(o.At) {
			oldest = d
		}
	}
	return oldest
}

// Asked says that a client asked for a file before it was complete: it would have been
// taken in any case. What came earlier is wasted.
func (a *Account) Asked(d digest.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waste(d)
}

// Served counts n bytes of a file that a client got, from the held file if held, else
// from a download that was made for it.
func (a *Account) Served(d digest.Digest, n int64, held bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.open[d]
	switch {
	case f == nil || n <= 0:
		return
	case !held || !f.Complete:
		a.waste(d)
		return
	}
	a.dirty[d] = struct{}{}
	if f.Delivered += n; f.Delivered >= f.Size {
		delete(a.open, d)
		a.charge(f.Wave, Cost{UsedFiles: 1, UsedBytes: f.Taken})
	}
}

// waste decides that a file was of no use. Caller holds mu.
func (a *Account) waste(d digest.Digest) {
	f := a.open[d]
	if f == nil {
		return
	}
	delete(a.open, d)
	a.dirty[d] = struct{}{}
	c := Cost{WastedBytes: f.Taken}
	if f.Complete {
		c.WastedFiles = 1
	}
	a.charge(f.Wave, c)
}

// Sweep decides what is decided by now: what waits for too long, or is complete and not
// held any more.
func (a *Account) Sweep(held func(digest.Digest) bool) {
	a.mu.Lock()
	var complete []digest.Digest
	for d, f := range a.open {
		switch {
		case time.Since(f.At) >= Patience:
			a.waste(d)
		case f.Complete:
			complete = append(complete, d)
		}
	}
	a.mu.Unlock()
	complete = slices.DeleteFunc(complete, held)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range complete {
		a.waste(d)
	}
}

// Figures are an Account at a moment.
type Figures struct {
	Since           time.Time
	Total           Cost
	Waves           []Wave // the last one first
	Limit, Spent    int64  // bytes of the day
	Saved           int64  // of the days before, beside Limit
	DayEnds         time.Time
	OpenFiles, Open int64 // not decided yet, and their bytes
}

// Figures returns the present ones.
func (a *Account) Figures() Figures {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := Figures{Since: a.began, Total: a.total, Waves: slices.Clone(a.waves), Limit: a.limit}
	slices.Reverse(f.Waves)
	f.Spent, f.DayEnds = a.budget.spent()
	f.Saved = a.budget.saved(a.limit)
	for _, o := range a.open {
		if f.Open += o.Taken; o.Complete {
			f.OpenFiles++
		}
	}
	return f
}

// Flush writes what has changed. What fails to be written is written by the next Flush.
func (a *Account) Flush() error {
	a.mu.Lock()
	dirty, news := a.dirty, a.news
	rows := make(map[digest.Digest]file)
	for d := range dirty {
		if f := a.open[d]; f != nil {
			rows[d] = *f
		}
	}
	all := sums{a.began, a.total, slices.Clone(a.waves)}
	a.dirty, a.news = make(map[digest.Digest]struct{}), false
	a.mu.Unlock()
	if len(dirty) == 0 && !news {
		return nil
	}
	err := a.write(dirty, rows, all)
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for d := range dirty {
		a.dirty[d] = struct{}{}
	}
	a.news = true
	return fmt.Errorf("writing what fetching ahead has cost: %w", err)
}
