package load

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

// vitals are what a box has of its machine at a moment.
type vitals struct {
	at          time.Time
	anonymous   int64 // resident bytes that belong to no file
	resident    int64 // with those of mapped files
	peak        int64 // the most that was resident
	goroutines  int64
	descriptors int64
	cpu         time.Duration // so far
}

// vitalsOf reads them.
func vitalsOf(t *testing.T, b *box.Box) vitals {
	t.Helper()
	v := vitals{at: time.Now()}
	kB := fields(t, fmt.Sprintf("/proc/%d/status", b.PID()))
	v.anonymous, v.resident, v.peak = kB["RssAnon:"]<<10, kB["VmRSS:"]<<10, kB["VmHWM:"]<<10
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.PID()))
	if err != nil {
		t.Fatal(err)
	}
	v.descriptors = int64(len(open))
	metrics := b.Get("/metrics")
	v.goroutines = int64(metric(t, metrics, "go_goroutines"))
	v.cpu = time.Duration(metric(t, metrics, "process_cpu_seconds_total") * float64(time.Second))
	return v
}

// fields reads the numbers of a file in /proc.
func fields(t *testing.T, name string) map[string]int64 {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				all[f[0]] = n
			}
		}
	}
	return all
}

// metric finds one without labels.
func metric(t *testing.T, metrics []byte, name string) float64 {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(metrics))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("the box has no metric %s", name)
	return 0
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// blocks is how many blocks of 512 bytes a file takes.
func blocks(info os.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks }

// kernelTCP is what the kernel holds for the connections of the machine, which is in no
// figure of a process.
func kernelTCP(t *testing.T) int64 {
	t.Helper()
	stat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(stat)) {
		if f := strings.Fields(line); f[0] == "TCP:" {
			pages, err := strconv.ParseInt(f[len(f)-1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return pages * int64(os.Getpagesize())
		}
	}
	t.Fatal("the kernel does not say what it holds for TCP")
	return 0
}
