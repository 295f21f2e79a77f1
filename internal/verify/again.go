package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// Outcome is what became of a damaged file.
type Outcome string

// The outcomes that there are.
const (
	FetchedAgain Outcome = "fetched again"
	NotAvailable Outcome = "not available"
	Waiting      Outcome = "waiting"
	Unlisted     Outcome = "unlisted"
)

const (
	// wantedPrefix begins the rows of what is wanted again.
	wantedPrefix = "want/"
	// maxWanted bounds these rows. What is damaged beyond is fetched for clients.
	maxWanted = 4096
	// againWithin bounds one attempt. What came of a file by then is kept for the next.
	againWithin = 10 * time.Minute
	// againEvery is the time between two attempts, and againFor how long there are some:
	// a mirror that is away for longer is for somebody to look at, and what clients ask
	// for meanwhile is fetched for them.
	againEvery = time.Hour
	againFor   = 7 * 24 * time.Hour
	// A disk that damages ever more must not make the box take ever more from mirrors.
	againBytes = 8 << 30 // a day
	againFiles = 10_000  // a day
)

// errTooMany says that no more files can be wanted.
var errTooMany = fmt.Errorf("%d other files are to be fetched again", maxWanted)

// errBudget says that enough was fetched again for a day.
var errBudget = errors.New("enough was fetched again for today")

// wanted is a row.
type wanted struct {
	Name  string    `json:"name"`
	Size  int64     `json:"size"`
	Pins  []string  `json:"pins"`
	Since time.Time `json:"since"`
	Tried time.Time `json:"tried"`
	Fault string    `json:"fault"` // of the last attempt
}

// budget is what was fetched again in the last day.
type budget struct {
	since time.Time
	files int
	bytes int64
}

func wantedKey(d digest.Digest) string { return wantedPrefix + d.String() }

// Damaged notes that a blob was removed since it was damaged; it is the store's
// Options.Damaged.
func (v *Verifier) Damaged(b store.Info) {
	v.mu.Lock()
	v.hashing.lost = v.hashing.lost || b.Digest == v.hashing.digest
	v.mu.Unlock()
	err := v.want(b.Digest, wanted{Name: b.Name, Size: b.Size, Pins: b.Pins, Since: time.Now().UTC()})
	if err != nil {
		v.log.Warn("a damaged file is not fetched again until a client asks for it", "digest", b.Digest, "err", err)
		return
	}
	v.lost.Call()
}

// want writes the row of a file, unless there are too many others.
func (v *Verifier) want(d digest.Digest, w wanted) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, err := v.table.Get([]byte(wantedKey(d)))
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return err
	}
	if fresh && v.rows >= maxWanted {
		return errTooMany
	}
	if err := kv.PutJSON(v.table, wantedKey(d), w); err != nil {
		return err
	}
	if fresh {
		v.rows++
	}
	return nil
}

// forget deletes the row of a file, if there is one.
func (v *Verifier) forget(d digest.Digest) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, err := v.table.Get([]byte(wantedKey(d)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = v.table.Delete([]byte(wantedKey(d)))
	}
	if err == nil {
		v.rows--
	}
	return err
}

// countRows counts the rows for Open.
func (v *Verifier) countRows() error {
	return v.table.Scan([]byte(wantedPrefix), nil, func(_, _ []byte) bool {
		v.rows++
		return true
	})
}

// fetchWanted fetches what is wanted, as soon as it is, and again every hour.
func (v *Verifier) fetchWanted(ctx context.Context) {
	again := time.NewTicker(againEvery)
	defer again.Stop()
	for {
		for _, d := range v.dueAt(time.Now()) {
			if ctx.Err() != nil {
				return
			}
			_, _ = v.again(ctx, d) // it logs what fails
		}
		select {
		case <-ctx.Done():
			return
		case <-v.lost:
		case <-again.C:
		}
	}
}

// dueAt returns what is to be tried at now, and forgets what was tried for long enough.
func (v *Verifier) dueAt(now time.Time) (due []digest.Digest) {
	var over []digest.Digest
	err := v.table.Scan([]byte(wantedPrefix), nil, func(key, value []byte) bool {
		var w wanted
		d, err := digest.Parse(string(key[len(wantedPrefix):]))
		switch {
		case err != nil: // none of ours
		case json.Unmarshal(value, &w) != nil, now.Sub(w.Since) > againFor:
			over = append(over, d)
		case now.Sub(w.Tried) >= againEvery:
			due = append(due, d)
		}
		return true
	})
	for _, d := range over {
		err = errors.Join(err, v.forget(d))
	}
	if err != nil {
		v.log.Warn("what is to be fetched again is not known", "err", err)
	}
	return due
}

// again fetches a damaged file again, unless that was tried a moment ago. The error says
// why it is not there.
func (v *Verifier) again(ctx context.Context, d digest.Digest) (Outcome, error) {
	select {
	case v.fetching <- struct{}{}:
		defer func() { <-v.fetching }()
	case <-ctx.Done():
		return Waiting, ctx.Err()
	}
	w, err := kv.GetJSON[wanted](v.table, wantedKey(d))
	if err != nil {
		return Waiting, err
	}
	if w.Fault != "" && time.Since(w.Tried) < againEvery {
		return NotAvailable, errors.New(w.Fault)
	}
	e, listed := v.catalog.Describe(d)
	_, held := v.store.Stat(d)
	switch {
	case held == nil:
	case !listed:
		return Unlisted, v.forget(d)
	case v.fetch == nil:
		return Waiting, nil
	case !v.afford(e.Size):
		return Waiting, errBudget
	default:
		within, cancel := context.WithTimeoutCause(ctx, againWithin, fmt.Errorf("it took more than %v", againWithin))
		defer cancel()
		err = v.fetch.Again(within, e)
	}
	if ctx.Err() != nil {
		return Waiting, ctx.Err()
	}
	if err != nil {
		v.log.Warn("damaged file not fetched again; it is tried once an hour", "digest", d, "url", e.Location.String(), "err", err)
		w.Tried, w.Fault = time.Now().UTC(), err.Error()
		if !w.Since.IsZero() {
			err = errors.Join(err, v.want(d, w))
		}
		return NotAvailable, err
	}
	if w.Since.IsZero() { // it was back before
		return FetchedAgain, nil
	}
	return FetchedAgain, v.isBack(d, w, e.Location.String())
}

// isBack notes that a file is held again.
func (v *Verifier) isBack(d digest.Digest, w wanted, url string) error {
	for _, owner := range w.Pins {
		if err := v.store.Pin(d, owner); err != nil && !errors.Is(err, fs.ErrNotExist) {
			v.log.Warn("file that was fetched again is not pinned as it was", "digest", d, "err", err)
		}
	}
	v.mu.Lock()
	now := time.Now()
	if now.Sub(v.today.since) >= 24*time.Hour {
		v.today = restored{since: now}
	}
	v.today.files++
	v.mu.Unlock()
	v.log.Info("damaged file fetched again", "digest", d, "url", url)
	return v.forget(d)
}

// afford takes a file's size from the day's budget, if enough is left.
func (v *Verifier) afford(size int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, now := &v.budget, time.Now()
	if now.Sub(b.since) >= 24*time.Hour {
		*b = budget{since: now}
	}
	if b.files >= againFiles || b.bytes+size > againBytes && b.files > 0 {
		return false
	}
	b.files, b.bytes = b.files+1, b.bytes+max(size, 0)
	return true
}

// Restored is how many damaged files were fetched again within a day.
func (v *Verifier) Restored() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.today.since) >= 24*time.Hour {
		return 0
	}
	return v.today.files
}
