package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/kv"
)

// eventTable is the table of events in a new database.
func eventTable(t *testing.T) *kv.Table {
	t.Helper()
	db, err := kv.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db.Table("events")
}

// reopen returns what another run finds in a table.
func reopen(t *testing.T, table *kv.Table, e *Events) (*Events, bool) {
	t.Helper()
	removed, err := e.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	return e, removed
}

// rowsIn is how many rows a table has, and whether any has a text in it.
func rowsIn(t *testing.T, table *kv.Table, text string) (rows int, has bool) {
	t.Helper()
	err := table.Scan(nil, nil, func(_, value []byte) bool {
		rows++
		has = has || strings.Contains(string(value), text)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, has
}

// What is on the disk is what is in memory: rows that came again, that gave way, that were
// erased and that came before the table was there. What cannot be read is dropped.
func TestEventsOnDisk(t *testing.T) {
	t.Parallel()
	table := eventTable(t)
	if err := table.Put([]byte("damaged!"), []byte("{")); err != nil {
		t.Fatal(err)
	}
	first := new(Events)
	log := slog.New(first.Handler(slog.DiscardHandler))
	log.Warn("before the table")
	reopen(t, table, first)
	for i := range 3 * maxOfKind {
		refuse(log, "10.0.0.1", strings.Repeat("x", i%(2*maxOfKind)+1)+".example.com")
		if i%100 == 0 {
			if err := first.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	log.Warn("cut short", "client", "10.0.0.2", "err", "no answer")
	if known, err := first.Erase(netip.MustParseAddr("10.0.0.2")); err != nil || !known {
		t.Errorf("erased: %v, %v", known, err)
	}
	want := latest(first)
	second, removed := reopen(t, table, new(Events))
	if got := latest(second); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || len(got) < maxOfKind/2 || removed {
		t.Errorf("%d events, want %d; removed: %v", len(got), len(want), removed)
	}
	if rows, has := rowsIn(t, table, "10.0.0.2"); rows != len(want) || has {
		t.Errorf("%d rows on disk, want %d; an erased client among them: %v", rows, len(want), has)
	}
	log = slog.New(second.Handler(slog.DiscardHandler))
	log.Warn("before the table")
	if got := latest(second)[0]; got.Times != 2 || got.ID <= want[0].ID {
		t.Errorf("again: %+v", got)
	}
}

// A disk that takes nothing, and events without end: what is to be written later is
// bounded as the rows are.
func TestEventsOnADeadDisk(t *testing.T) {
	t.Parallel()
	db, err := kv.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e, _ := reopen(t, db.Table("events"), new(Events))
	log := slog.New(e.Handler(slog.DiscardHandler))
	refuse(log, "10.0.0.1", "first.example.com")
	if err := errors.Join(e.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	for i := range 10 * maxOfKind {
		refuse(log, "10.0.0.1", fmt.Sprintf("h%d.example.com", i))
		if i%10 == 0 {
			if err := e.Flush(); err == nil {
				t.Fatal("a closed database takes rows")
			}
		}
	}
	if rows := len(latest(e)); len(e.dirty) > rows+1 {
		t.Errorf("%d rows are to be written or removed, with %d in memory and one on disk", len(e.dirty), rows)
	}
}

// A row that gives way while it is written does not stay on the disk.
func TestEventsThatGiveWayWhileWritten(t *testing.T) {
	t.Parallel()
	table := eventTable(t)
	e, _ := reopen(t, table, new(Events))
	log := slog.New(e.Handler(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			if err := e.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 4 * maxOfKind {
		refuse(log, "10.0.0.1", fmt.Sprintf("h%d.example.com", i))
	}
	stop()
	writing.Wait()
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	if rows, _ := rowsIn(t, table, "-"); rows != len(latest(e)) || len(e.dirty) != 0 {
		t.Errorf("%d rows on disk, %d in memory, %d to be written", rows, len(latest(e)), len(e.dirty))
	}
}

// The settings hold for what an earlier run kept.
func TestPrivacyOfEventsOnDisk(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		now  *Events
		rows int
	}{
		"days":                   {&Events{Keep: time.Hour}, 2},
		"no-packages-per-client": {&Events{NoLinks: true}, 3},
		"no-clients":             {&Events{NoClients: true}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := eventTable(t)
			first, _ := reopen(t, table, new(Events))
			log := slog.New(first.Handler(slog.DiscardHandler))
			log.Warn("of nobody")
			refuse(log, "10.0.0.9", "new.example.org")
			old := slog.NewRecord(time.Now().Add(-2*time.Hour), slog.LevelWarn, "cut short", 0)
			old.Add("client", "10.0.0.8", "url", "http://deb.example.org/bash.deb")
			if err := log.Handler().Handle(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			if err := first.Flush(); err != nil {
				t.Fatal(err)
			}
			if _, has := rowsIn(t, table, "10.0.0.8"); !has {
				t.Fatal("not on disk to begin with")
			}
			_, removed := reopen(t, table, tt.now)
			if rows, has := rowsIn(t, table, "10.0.0.8"); has || rows != tt.rows || !removed {
				t.Errorf("%d rows, want %d; the client among them: %v, removed: %v", rows, tt.rows, has, removed)
			}
			if _, removed := reopen(t, table, &Events{Keep: tt.now.Keep, NoLinks: tt.now.NoLinks, NoClients: tt.now.NoClients}); removed {
				t.Error("removed twice")
			}
		})
	}
}
