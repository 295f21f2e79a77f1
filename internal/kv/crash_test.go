package kv

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// childDir names the directory that the test binary writes to, when it runs
// as the child of TestKill.
const childDir = "KV_TEST_CHILD_DIR"

// child writes numbered rows for ever and prints each one that was
// acknowledged.
func child(dir string) {
	db, err := Open(dir, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	table := db.Table("rows")
	for i := 0; ; i++ {
		if err := table.Put(crashKey(i), crashValue(i)); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

func crashKey(i int) []byte { return fmt.Appendf(nil, "%08d", i) }

// crashValue is small, or 12 KB so that memtables fill up and are written to
// tables, or 20 KB for the value log.
func crashValue(i int) []byte {
	size := []int{0, 12 << 10, 20 << 10, 100}[i%4]
	return append(fmt.Appendf(nil, "%d:", i), bytes.Repeat([]byte{byte(i)}, size)...)
}

// A process killed in the middle of writes loses no acknowledged one, and the
// database opens again, however often.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	dir := t.TempDir()
	for round, writes := range []int{1, 100, 1000, 3000} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := -1
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Errorf("round %d: %s", round, lines.Text())
				break
			}
			last = n
			if n == writes {
				// Goes on reading: more may be acknowledged until it dies.
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
		cmd.Wait() //nolint:errcheck // it was killed
		if last < writes {
			t.Fatalf("round %d: the child wrote %d rows, want %d", round, last, writes)
		}
		db := openTest(t, dir)
		if r, ok := db.Recovered(); ok {
			t.Fatalf("round %d: the database was set aside: %v", round, r.Why)
		}
		for i := range last + 1 {
			got, err := db.Table("rows").Get(crashKey(i))
			if err != nil || !bytes.Equal(got, crashValue(i)) {
				t.Fatalf("round %d: row %d of %d acknowledged: %d bytes, %v", round, i, last, len(got), err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
