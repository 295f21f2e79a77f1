package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/kv"
	"millpond/internal/ledger"
)

// startWithin bounds a start, from the exec of the program to its first good answer.
const startWithin = 2 * time.Second

// timedRun starts the box, and returns how long it took until /readyz said that it is
// ready.
func timedRun(tb testing.TB, b *box.Box) time.Duration {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	begun := time.Now()
	took := make(chan time.Duration, 1)
	go func() {
		for ctx.Err() == nil {
			if isReady(ctx, b) {
				break
			}
			time.Sleep(2 * time.Millisecond) // the other process gives no signal
		}
		took <- time.Since(begun)
	}()
	b.Run()
	return <-took
}

func isReady(ctx context.Context, b *box.Box) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// spread prints the least, the middle and the largest of some durations.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	sorted := slices.Sorted(slices.Values(all))
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("%v/%v/%v", ms(sorted[0]), ms(sorted[len(sorted)/2]), ms(sorted[len(sorted)-1]))
}

// A box with many blobs and a full ledger is ready in 2 s, after a stop and after a kill.
func TestStart(t *testing.T) {
	blobs, accounts := 200_000, 20_000
	if testing.Short() {
		blobs, accounts = 5_000, 500
	}
	b := box.Start(t, "MILLPOND_OFFLINE=true")
	b.Stop()
	fillLedger(t, b.Data, accounts)
	for i := range blobs {
		b.PlaceBlob(fmt.Appendf(nil, "blob %d", i))
	}
	first := timedRun(t, b)
	if got := b.Summary(); got.Blobs != int64(blobs) || got.ClientBytes != 16*int64(accounts) {
		t.Errorf("%d blobs and %d bytes to clients, want %d and %d", got.Blobs, got.ClientBytes, blobs, 16*accounts)
	}

	var stopped, killed []time.Duration
	for range 5 {
		b.Stop()
		stopped = append(stopped, timedRun(t, b))
		b.Kill()
		killed = append(killed, timedRun(t, b))
	}
	// The quickest of them, since other processes may have the processor.
	for _, starts := range [][]time.Duration{stopped, killed} {
		if took := slices.Min(starts); took > startWithin {
			t.Errorf("a start took %v, want %v at most", took, startWithin)
		}
	}
	t.Logf("| %d blobs, %d accounts of each kind | database %d MB | blobs taken in: ready after %v | start after a stop, min/median/max: %s | after a kill: %s |",
		blobs, accounts, sizeOf(t, filepath.Join(b.Data, "db"))>>20, first.Round(time.Millisecond), spread(stopped), spread(killed))
}

// fillLedger counts for that many clients and packages, each of which 16 clients asked
// for.
func fillLedger(t *testing.T, data string, accounts int) {
	t.Helper()
	db, err := kv.Open(filepath.Join(data, "db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(db.Table("ledger"), db.Table("daily"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 16 * accounts {
		client := (i/16 + i) % accounts
		addr := netip.AddrFrom4([4]byte{10, 0, byte(client >> 8), byte(client)})
		l.Delivered(addr, ledger.File{Host: "archive.example.org", Package: fmt.Sprint("package", i/16)}, ledger.FromStore, 1)
		if i%1000 == 999 {
			err = errors.Join(err, l.Flush())
		}
	}
	if err := errors.Join(err, l.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// sizeOf is what a directory takes on the disk.
func sizeOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
