package dashboard

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"millpond/internal/kv"
)

const (
	// saveEvery leaves half of the second that the disk may be behind to the writing.
	saveEvery = 500 * time.Millisecond
	// savedAtOnce rows, of some 4 kB at most, are far below what a transaction holds.
	savedAtOnce = 100
)

// Open reads the events that t holds, and has those of this run written there by Run.
// Rows that cannot be read are dropped. What an earlier run kept about clients, and is
// not to be kept any more, is removed; removed reports whether there was any. It is
// called once, before Run.
func (e *Events) Open(t *kv.Table) (removed bool, err error) {
	var stored []*eventRow
	var bad [][]byte
	err = t.Scan(nil, nil, func(key, value []byte) bool {
		row := new(eventRow)
		if len(key) != 8 || json.Unmarshal(value, row) != nil || row.Kind == "" {
			bad = append(bad, slices.Clone(key))
			return true
		}
		row.slot = int64(binary.BigEndian.Uint64(key))
		stored = append(stored, row)
		return true
	})
	if err != nil {
		return false, fmt.Errorf("reading events: %w", err)
	}
	slices.SortFunc(stored, func(a, b *eventRow) int { return cmp.Compare(a.ID, b.ID) })
	e.mu.Lock()
	e.table = t
	present, now := e.rows, time.Now().UTC()
	e.rows, e.index, e.pools, e.dirty, e.kept = nil, nil, nil, nil, make(map[int64]bool)
	for _, row := range stored {
		e.kept[row.slot] = true
		e.last, e.slots = max(e.last, row.ID), max(e.slots, row.slot)
		if row.Time.After(now) { // the clock was set back
			row.Time = now
		}
	}
	for _, row := range stored {
		changed := e.restrict(row)
		removed = removed || changed
		e.insert(row.key(), row)
		if !changed {
			delete(e.dirty, row.slot)
		}
	}
	before := len(e.rows)
	e.expire()
	removed = removed || len(e.rows) < before
	e.mu.Unlock()
	for _, row := range present { // since the start
		e.add(row)
	}
	for _, key := range bad {
		if err := t.Delete(key); err != nil {
			return removed, fmt.Errorf("removing an event that cannot be read: %w", err)
		}
	}
	if removed {
		err = e.Flush()
	}
	return removed, err
}

// Run writes what is new until ctx ends, and then once more; it returns nil. Where the
// disk takes nothing, it tries again.
func (e *Events) Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = e.Flush() // the process ends
			return nil
		case <-tick.C:
		}
		e.mu.Lock()
		e.expire()
		e.mu.Unlock()
		err := e.Flush()
		if e.failing(err) {
			// Once, as the line is an event, too.
			log.Warn("events not written to the disk, a restart would lose them", "err", err)
		}
	}
}

// failing notes how a writing went, and reports whether it is the first that failed.
func (e *Events) failing(err error) (first bool) {
	e.saving.Lock()
	defer e.saving.Unlock()
	first = err != nil && !e.failed
	e.failed = err != nil
	return first
}

// Flush writes the rows that changed. Those that could not be written stay to be.
func (e *Events) Flush() error {
	e.saving.Lock()
	defer e.saving.Unlock()
	if e.table == nil {
		return nil
	}
	gone, put := e.changed()
	err := e.write(gone, e.table.Free, func(tx *kv.Tx, w eventWrite) error { return tx.Delete(w.key()) })
	if fault := e.write(put, e.table.Update, func(tx *kv.Tx, w eventWrite) error { return tx.Put(w.key(), w.value) }); err == nil {
		err = fault
	}
	return err
}

// eventWrite is a row to be written; without a value it is to be deleted.
type eventWrite struct {
	slot  int64
	row   *eventRow
	value []byte
}

func (w eventWrite) key() []byte { return binary.BigEndian.AppendUint64(nil, uint64(w.slot)) }

// changed returns what is to be written, which counts as written from then on.
func (e *Events) changed() (gone, put []eventWrite) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for slot, row := range e.dirty {
		if row == nil {
			gone = append(gone, eventWrite{slot: slot})
			continue
		}
		value, err := json.Marshal(row)
		if err != nil {
			panic(err) // texts, numbers and times of the box
		}
		put = append(put, eventWrite{slot, row, value})
	}
	e.dirty = make(map[int64]*eventRow)
	return gone, put
}

// write writes rows in transactions of a bounded size, up to the first that fails. The
// caller holds saving.
func (e *Events) write(rows []eventWrite, update func(func(*kv.Tx) error) error, one func(*kv.Tx, eventWrite) error) error {
	for len(rows) > 0 {
		part := rows[:min(savedAtOnce, len(rows))]
		err := update(func(tx *kv.Tx) error {
			for _, w := range part {
				if err := one(tx, w); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			e.putBack(rows)
			return err
		}
		e.written(part)
		rows = rows[len(part):]
	}
	return nil
}

// putBack has the next Flush write rows, unless they changed again or are gone.
func (e *Events) putBack(rows []eventWrite) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range rows {
		if _, again := e.dirty[w.slot]; !again && (w.row == nil || !w.row.gone) {
			e.dirty[w.slot] = w.row
		}
	}
}

// written notes what the table has now. A row that went meanwhile is to be deleted.
func (e *Events) written(rows []eventWrite) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range rows {
		if w.row == nil {
			delete(e.kept, w.slot)
			continue
		}
		e.kept[w.slot] = true
		if _, again := e.dirty[w.slot]; !again && w.row.gone {
			e.dirty[w.slot] = nil
		}
	}
}
