package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"
)

// The table is never more than a second behind, and Run writes the rest when
// it ends.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, table := openTable(t, dir) // in the bubble: its goroutines wake this one
		l := openLedger(t, table)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		onDisk := func() int64 {
			l := openLedger(t, table)
			got, _ := l.Totals()
			return got.MirrorTaken
		}
		for i := range int64(5) {
			l.Taken(file, 1)
			time.Sleep(time.Second)
			synctest.Wait()
			if got := onDisk(); got != i+1 {
				t.Errorf("a second after count %d the table has %d", i+1, got)
			}
		}
		l.Taken(file, 1)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := onDisk(); got != 6 {
			t.Errorf("after Run the table has %d, want 6", got)
		}
	})
}

// Many new names at once are written early, without waiting for the tick.
func TestRunFlushesEarly(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, table := openTable(t, dir)
		l := openLedger(t, table)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		for i := range 3 * pendingPeers {
			l.PeerGiven(fmt.Sprint(i), 1)
			synctest.Wait()
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := len(collect(t, l.accounts(&l.peers, ""))); got != 3*pendingPeers {
			t.Errorf("%d accounts, want %d", got, 3*pendingPeers)
		}
	})
}

func TestFlushFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, table := openTable(t, dir)
	l := openLedger(t, table)
	l.Taken(file, 1)
	flush(t, l)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		l.Taken(file, 1)
		l.Request(client, file)
		if err := l.Flush(); !errors.Is(err, fs.ErrClosed) || !errors.Is(l.Err(), fs.ErrClosed) {
			t.Errorf("Flush = %v, Err = %v, want fs.ErrClosed", err, l.Err())
		}
		if got, _ := l.Totals(); got.MirrorTaken != i+2 {
			t.Errorf("totals have %d taken, want %d", got.MirrorTaken, i+2)
		}
	}
	if _, err := l.Series(Day, time.Time{}, time.Now()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Series = %v, want fs.ErrClosed", err)
	}
	for _, err := range l.Hosts("") {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Hosts yields %v, want fs.ErrClosed", err)
		}
	}
	// The disk is back.
	_, l.table = openTable(t, dir)
	again := openLedger(t, l.table)
	l.tunnels, l.mirrors = again.tunnels, again.mirrors
	flush(t, l)
	if l.Err() != nil {
		t.Errorf("Err = %v after a good Flush", l.Err())
	}
	want := Counts{Requests: 3, MirrorTaken: 4}
	if got := collect(t, l.Hosts("")); len(got) != 1 || got[0].Counts != want {
		t.Errorf("hosts = %+v, want %+v", got, want)
	}
	checkSums(t, l)
}
