package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/jobs"
)

func TestProgressInLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := showProgress(&out, "Verified", nil)
		p.Expect(jobs.Amount{Files: 40, Bytes: 4_000_000})
		for range 12 {
			time.Sleep(800 * time.Millisecond)
			p.Add(1, 100_000)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		p.End()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("10.6 s gave %d lines, want 2:\n%s", len(lines), &out)
		}
		if want := "Verified 12 of 40 files, 1.2 MB of 4.0 MB, 120.0 kB/s, 23 s left"; lines[1] != want {
			t.Errorf("the last line is %q, want %q", lines[1], want)
		}
		if strings.ContainsAny(out.String(), "\r\x1b") {
			t.Errorf("control characters where there is no terminal: %q", out.String())
		}
	})
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &progress{Meter: jobs.NewMeter(), did: "Imported", w: &out, terminal: true, end: make(chan struct{})}
		p.start()
		p.Add(1, 2)
		time.Sleep(2100 * time.Millisecond)
		synctest.Wait()
		p.End()
		if strings.Contains(out.String(), "\n") {
			t.Errorf("more than one line: %q", out.String())
		}
		if n := strings.Count(out.String(), "\rImported 1 files, 2 B"); n != 4 {
			t.Errorf("written over %d times in 2 s, want 4: %q", n, out.String())
		}
		if !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Errorf("the line stays: %q", out.String())
		}
	})
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 s", 59*time.Second + 400*time.Millisecond: "59 s", 90 * time.Second: "1 min 30 s", 3*time.Hour + 7*time.Minute: "3 h 7 min",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
