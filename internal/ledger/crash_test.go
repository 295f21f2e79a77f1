package ledger

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"millpond/internal/kv"
)

// childDir names the database that the test binary counts in, when it runs as
// the child of TestKill.
const childDir = "LEDGER_TEST_CHILD_DIR"

// child prints each count before it makes it, and each flush after it is done.
func child(dir string) {
	db, err := kv.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	l, err := Open(db.Table("ledger"), db.Table("daily"))
	for i := 1; err == nil; i++ {
		fmt.Println("counting", i)
		// Of each package four clients, all of whom are remembered.
		l.Delivered(netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 200)}), File{host, fmt.Sprint("package", i%50)}, FromStore, 1)
		if i%10 == 0 {
			if err = l.Flush(); err == nil {
				fmt.Println("flushed", i)
			}
		}
	}
	fmt.Println("child:", err)
	os.Exit(1)
}

// After kill -9 the ledger has all that a finished flush wrote, nothing that
// was never counted, and agrees with itself.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before int64
	for round, flushes := range []int{1, 20, 100} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var counted, flushed int64
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				t.Errorf("round %d: %s", round, lines.Text())
				break
			}
			if what == "counting" {
				counted = n
				continue
			}
			flushed = n
			if n == int64(flushes)*10 {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
		cmd.Wait() //nolint:errcheck // it was killed
		if flushed == 0 {
			t.Fatalf("round %d: the child flushed nothing", round)
		}
		db, table := openTable(t, dir)
		l := openLedger(t, table)
		got, _ := l.Totals()
		if n := got.DeliveredStore - before; n < flushed || n > counted {
			t.Errorf("round %d: the ledger has %d, want %d (flushed) to %d (counted)", round, n, flushed, counted)
		}
		before = got.DeliveredStore
		checkSums(t, l)
		if asked := askedBytes(t, l); asked != got.DeliveredStore {
			t.Errorf("round %d: clients asked for %d bytes of packages, want %d", round, asked, got.DeliveredStore)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
