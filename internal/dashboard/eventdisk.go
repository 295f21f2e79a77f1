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
	e.rows, e.index, e.pools, e.dirty = nil, nil, nil, nil
	for _, row := range stored {
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
	e.mu.Lock()
	changed := e.dirty
	e.dirty = make(map[int64]*eventRow)
	var gone, put [][2][]byte
	for slot, row := range changed {
		key := binary.BigEndian.AppendUint64(nil, uint64(slot))
		if row == nil {
			gone = append(gone, [2][]byte{key})
			continue
		}
		value, err := json.Marshal(row)
		if err != nil {
			panic(err) // texts, numbers and times of the box
		}
		put = append(put, [2][]byte{key, value})
	}
	e.mu.Unlock()
	err := writeRows(e.table.Free, gone, func(tx *kv.Tx, row [2][]byte) error { return tx.Delete(row[0]) })
	if err == nil {
		err = writeRows(e.table.Update, put, func(tx *kv.Tx, row [2][]byte) error { return tx.Put(row[0], row[1]) })
	}
	if err == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for slot, row := range changed {
		if _, again := e.dirty[slot]; !again {
			e.dirty[slot] = row
		}
	}
	return err
}

// writeRows writes rows in transactions of a bounded size.
func writeRows(update func(func(*kv.Tx) error) error, rows [][2][]byte, write func(*kv.Tx, [2][]byte) error) error {
	for part := range slices.Chunk(rows, savedAtOnce) {
		err := update(func(tx *kv.Tx) error {
			for _, row := range part {
				if err := write(tx, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
