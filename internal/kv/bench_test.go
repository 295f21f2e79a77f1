package kv

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/ipfs/go-datastore/query"
)

// benchKey is 100 bytes long, like the path of a package; the digest spreads
// the keys, as catalog keys are spread.
func benchKey(i int) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return fmt.Appendf(nil, "pool/main/%x/%026d", sum, i)
}

func fill(b *testing.B, table *Table, n int) {
	b.Helper()
	batch := table.Batch()
	defer batch.Cancel()
	value := make([]byte, 40)
	for i := range n {
		if err := batch.Put(benchKey(i), value); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Flush(); err != nil {
		b.Fatal(err)
	}
}

const benchRows = 130_000 // packages of one suite and a half

func BenchmarkBatch(b *testing.B) {
	for b.Loop() {
		db := openTest(b, b.TempDir())
		fill(b, db.Table("rows"), benchRows)
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	table := openTest(b, b.TempDir()).Table("rows")
	fill(b, table, benchRows)
	for i := 0; b.Loop(); i++ {
		if _, err := table.Get(benchKey(i % benchRows)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetMissing(b *testing.B) {
	table := openTest(b, b.TempDir()).Table("rows")
	fill(b, table, benchRows)
	for i := 0; b.Loop(); i++ {
		if _, err := table.Get(benchKey(benchRows + i)); err == nil {
			b.Fatal("a key that was never written is there")
		}
	}
}

func BenchmarkPut(b *testing.B) {
	table := openTest(b, b.TempDir()).Table("rows")
	value := make([]byte, 40)
	for i := 0; b.Loop(); i++ {
		if err := table.Put(benchKey(i), value); err != nil {
			b.Fatal(err)
		}
	}
}

// A find of the DHT: 3 provider records among 200,000. The time must not
// depend on the second figure.
func BenchmarkQueryPrefix(b *testing.B) {
	db := openTest(b, b.TempDir())
	store := db.Datastore("dht")
	batch, err := store.Batch(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	const files, providers = 200_000 / 3, 3
	key := func(i int) string { return fmt.Sprintf("/providers/%x", sha256.Sum256(fmt.Append(nil, i))) }
	for i := range files {
		for p := range providers {
			if err := batch.Put(b.Context(), dsKey(fmt.Sprintf("%s/%d", key(i), p)), make([]byte, 8)); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := batch.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		res, err := store.Query(b.Context(), query.Query{Prefix: key(i % files)})
		if err != nil {
			b.Fatal(err)
		}
		rows, err := res.Rest()
		if err != nil || len(rows) != providers {
			b.Fatalf("%d rows, %v", len(rows), err)
		}
	}
}

const memoryRows = 2_000_000

// Resident memory of a process with a database of 2 million rows open, in MB
// over that of the process before: anonymous memory, which is the database's
// own, and mapped pages of its files, which the kernel drops when it needs
// them. The test binary runs as a child, so that filling leaves no trace.
func BenchmarkMemory(b *testing.B) {
	dir := b.TempDir()
	db := openTest(b, dir)
	fill(b, db.Table("rows"), memoryRows)
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkMemoryChild$", "-test.benchtime=1x")
		cmd.Env = append(os.Environ(), memoryDir+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			var name string
			var mb float64
			if n, _ := fmt.Sscanf(line, "memory %s %f", &name, &mb); n == 2 {
				b.ReportMetric(mb, name+"-MB")
			}
		}
	}
}

// memoryDir names the database that BenchmarkMemoryChild opens.
const memoryDir = "KV_TEST_MEMORY_DIR"

// BenchmarkMemoryChild is part of BenchmarkMemory and does nothing by itself.
func BenchmarkMemoryChild(b *testing.B) {
	dir := os.Getenv(memoryDir)
	if dir == "" {
		return
	}
	anon0, file0 := resident(b)
	report := func(when string) {
		runtime.GC()
		anon, file := resident(b)
		fmt.Printf("\nmemory %s-anon %.1f\n", when, float64(anon-anon0)/1024)
		fmt.Printf("memory %s-file %.1f\n", when, float64(file-file0)/1024)
	}
	db := openTest(b, dir)
	table := db.Table("rows")
	report("1-opened")
	for i := range 100_000 {
		if _, err := table.Get(benchKey(i * (memoryRows / 100_000))); err != nil {
			b.Fatal(err)
		}
	}
	report("2-read")
	value := make([]byte, 40)
	for i := range 10_000 {
		if err := table.Put(benchKey(i), value); err != nil {
			b.Fatal(err)
		}
	}
	report("3-put-10000")
	fill(b, table, 200_000)
	report("4-batch-200000")
}

// resident returns the anonymous and the file-backed resident memory in KB.
func resident(b *testing.B) (anon, file int) {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		// A line of another name leaves both alone.
		fmt.Sscanf(line, "RssAnon: %d kB", &anon)
		fmt.Sscanf(line, "RssFile: %d kB", &file)
	}
	return anon, file
}
