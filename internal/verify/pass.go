package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"millpond/internal/digest"
	"millpond/internal/jobs"
	"millpond/internal/kv"
	"millpond/internal/store"
)

const (
	// passKey is the row of the pass.
	passKey = "pass"
	// saveEvery bounds what is hashed once more after a kill.
	saveEvery = 2 * time.Second
	// maxFound bounds the damaged files that a Pass names; it counts all.
	maxFound = 100
)

// Pass is a check of all that is held, or of a part, and what it found.
type Pass struct {
	Scope   Scope     `json:"scope"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"` // zero: not yet
	Stopped bool      `json:"stopped"`
	Error   string    `json:"error"` // why it could not go on
	Last    string    `json:"last"`  // digest that was hashed last

	Files      int64 `json:"files"` // hashed
	Bytes      int64 `json:"bytes"`
	Unreadable int64 `json:"unreadable"` // files that the disk did not give

	Damaged      int64 `json:"damaged"` // files, which were removed; of these
	DamagedBytes int64 `json:"damaged_bytes"`
	Fetched      int64 `json:"fetched"`       // were fetched again,
	NotAvailable int64 `json:"not_available"` // could not be, and are tried again,
	Waiting      int64 `json:"waiting"`       // are fetched later,
	Unlisted     int64 `json:"unlisted"`      // are listed by no signed Release: who asks for one has it fetched

	Found []Found `json:"found"` // the first of the damaged
}

// Found is a damaged file.
type Found struct {
	Digest  string  `json:"digest"`
	Name    string  `json:"name"`
	Size    int64   `json:"size"`
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why"` // it could not be fetched again
}

func (p *Pass) clone() Pass {
	c := *p
	c.Found = slices.Clone(p.Found)
	return c
}

// open reports whether the pass is to go on.
func (p *Pass) open() bool { return !p.Began.IsZero() && p.Ended.IsZero() && !p.Stopped }

// next is the first digest that is not hashed yet.
func (p *Pass) next() (d digest.Digest, err error) {
	if p.Last == "" {
		return d, nil
	}
	if d, err = digest.Parse(p.Last); err != nil {
		return d, fmt.Errorf("where the check of held files was: %w", err)
	}
	for i := len(d) - 1; i >= 0; i-- {
		if d[i]++; d[i] != 0 {
			break
		}
	}
	return d, nil
}

// save keeps the pass on disk. Caller holds mu.
func (v *Verifier) save() error {
	if err := kv.PutJSON(v.table, passKey, v.pass); err != nil {
		return fmt.Errorf("noting how far the check of held files is: %w", err)
	}
	return nil
}

// work does the pass under way, and tells m how far it is.
func (v *Verifier) work(ctx context.Context, m *jobs.Meter) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v.mu.Lock()
	if !v.pass.open() { // stopped before it began
		v.running = false
		v.mu.Unlock()
		return
	}
	v.stop, v.meter = cancel, m
	v.mu.Unlock()
	err := v.hashAll(ctx, m)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running, v.stop, v.meter = false, nil, nil
	switch {
	case err == nil:
		v.pass.Ended = time.Now().UTC()
	case ctx.Err() == nil:
		v.pass.Stopped, v.pass.Error = true, err.Error()
		v.log.Warn("the check of held files cannot go on", "err", err)
	}
	if err := v.save(); err != nil {
		v.log.Warn("the check of held files is repeated in part after a restart", "err", err)
	}
	if p := &v.pass; err == nil {
		v.log.Info("held files checked", "files", p.Files, "bytes", p.Bytes, "damaged", p.Damaged, "fetched_again", p.Fetched,
			"not_available", p.NotAvailable, "unlisted", p.Unlisted, "unreadable", p.Unreadable)
	}
}

// hashAll hashes what is left of the pass.
func (v *Verifier) hashAll(ctx context.Context, m *jobs.Meter) error {
	v.mu.Lock()
	p := v.pass
	v.mu.Unlock()
	from, err := p.next()
	if err != nil {
		return err
	}
	inside := func(store.Info) bool { return true }
	total := jobs.Amount{Files: v.store.Usage().Blobs, Bytes: v.store.Usage().Bytes}
	if p.Scope != (Scope{}) {
		if inside, err = v.inside(p.Scope); err == nil {
			total, err = v.count(ctx, inside)
		}
		if err != nil {
			return err
		}
	}
	m.Expect(total)
	m.Skip(p.Files, p.Bytes)
	saved := time.Now()
	for info, err := range v.store.From(from) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if !inside(info) {
			continue
		}
		damaged, err := v.hash(ctx, info)
		if err != nil {
			return err
		}
		m.Add(1, info.Size)
		if damaged || time.Since(saved) > saveEvery {
			saved = time.Now()
			v.mu.Lock()
			err := v.save()
			v.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// count returns how much is in a scope.
func (v *Verifier) count(ctx context.Context, inside func(store.Info) bool) (total jobs.Amount, err error) {
	for info, err := range v.store.From(digest.Digest{}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return total, err
		}
		if inside(info) {
			total.Files++
			total.Bytes += info.Size
		}
	}
	return total, nil
}

// hash checks one blob. The error says that the pass cannot go on.
func (v *Verifier) hash(ctx context.Context, info store.Info) (damaged bool, err error) {
	v.mu.Lock()
	v.hashing.digest, v.hashing.lost = info.Digest, false
	v.mu.Unlock()
	err = v.store.Verify(ctx, info.Digest)
	v.mu.Lock()
	lost := v.hashing.lost || errors.Is(err, store.ErrMismatch)
	v.mu.Unlock()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if errors.Is(err, store.ErrDisk) {
		return false, err
	}
	found := Found{Digest: info.Digest.String(), Name: info.Name, Size: info.Size}
	if lost {
		var fault error
		found.Outcome, fault = v.again(ctx, info.Digest)
		if fault != nil {
			found.Why = fault.Error()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	p := &v.pass
	p.Last = info.Digest.String()
	switch {
	case lost:
		p.add(found)
	case errors.Is(err, fs.ErrNotExist): // evicted meanwhile
		return false, nil
	case err != nil:
		p.Unreadable++
		v.log.Warn("held file not readable", "digest", info.Digest, "err", err)
	}
	p.Files++
	p.Bytes += info.Size
	return lost, nil
}

// add counts a damaged file.
func (p *Pass) add(f Found) {
	p.Damaged++
	p.DamagedBytes += f.Size
	switch f.Outcome {
	case FetchedAgain:
		p.Fetched++
	case NotAvailable:
		p.NotAvailable++
	case Unlisted:
		p.Unlisted++
	default:
		p.Waiting++
	}
	if len(p.Found) < maxFound {
		p.Found = append(p.Found, f)
	}
}
