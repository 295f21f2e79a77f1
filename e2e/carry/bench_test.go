package carry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkImport compares an import with sha256sum over the same files, each in a new data
// directory, in turns; the best of each counts. Files are linked where the file system of
// TMPDIR can. Files are in memory before. It prints the ratio of the rates, by time and by the processor's time, and the
// most memory that the import had.
//
//	cd e2e && MILLPOND_BINARY=… go test -run xxx -bench Import -benchtime 1x ./carry
func BenchmarkImport(b *testing.B) {
	for _, shape := range []struct {
		name  string
		files int
		size  func(i int) int
	}{
		{"large", 40, func(int) int { return 25 << 20 }},
		// As an archive has them: 1 MB in the mean, half of them under 120 kB.
		{"packages", 1500, func(i int) int { return 2000 + int(7e6*math.Pow(float64(i*7919%1000)/1000, 6)) }},
		{"small", 100_000, func(int) int { return 2000 }},
	} {
		b.Run(shape.name, func(b *testing.B) {
			tree := treeOf(b, shape.files, shape.size)
			var ours, theirs cost
			for range 3 {
				theirs = theirs.best(spent(b, exec.Command("sh", "-c", "find "+tree+" -type f -print0 | xargs -0 sha256sum >/dev/null")))
				cmd := exec.Command(os.Getenv("MILLPOND_BINARY"), "import", tree)
				data := b.TempDir()
				cmd.Env = []string{"MILLPOND_DATA_DIR=" + data, "MILLPOND_CACHE_SIZE=20GB"}
				ours = ours.best(spent(b, cmd))
				if err := os.RemoveAll(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(theirs.took.Seconds()/ours.took.Seconds(), "rate/sha256sum")
			b.ReportMetric(theirs.cpu.Seconds()/ours.cpu.Seconds(), "cpu-rate/sha256sum")
			b.ReportMetric(ours.took.Seconds(), "s")
			b.ReportMetric(float64(ours.cpu.Microseconds())/float64(shape.files), "cpu-µs/file")
			b.ReportMetric(float64(ours.memory)/1e6, "MB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cost is what a command took.
type cost struct {
	took, cpu time.Duration
	memory    int64 // bytes at most
}

// best is the less of times, and the more of memory.
func (c cost) best(o cost) cost {
	if c.took == 0 {
		return o
	}
	return cost{min(c.took, o.took), min(c.cpu, o.cpu), max(c.memory, o.memory)}
}

func spent(b *testing.B, cmd *exec.Cmd) cost {
	b.Helper()
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Maxrss << 10}
}

// treeOf makes files of a size, an hour old, and reads them into memory.
func treeOf(b *testing.B, files int, size func(i int) int) string {
	b.Helper()
	tree := b.TempDir()
	data := make([]byte, 32<<20)
	random := rand.NewChaCha8([32]byte{1})
	old := time.Now().Add(-time.Hour)
	for i := range files {
		data := data[:size(i)]
		if _, err := random.Read(data); err != nil {
			b.Fatal(err)
		}
		name := filepath.Join(tree, fmt.Sprint(i%256), fmt.Sprintf("p%d_1_all.deb", i))
		write(b, name, data)
		if err := os.Chtimes(name, old, old); err != nil {
			b.Fatal(err)
		}
	}
	return tree
}
