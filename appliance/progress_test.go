package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/carry"
)

func TestProgressWithoutATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		stop := showProgress(&out, new(carry.Meter))
		time.Sleep(2*lineEvery + time.Second)
		stop()
		if lines := strings.Count(out.String(), "\n"); lines != 2 || strings.Contains(out.String(), "\r") {
			t.Errorf("%d lines in 11 s: %q", lines, out.String())
		}
	})
}

func TestProgressLine(t *testing.T) {
	for want, p := range map[string]carry.Progress{
		"7 files found, 2.0 kB":                            {AllFiles: 7, AllBytes: 2000},
		"1 of 7 files, 1.0 kB of 2.0 kB, 500 B/s, 2s left": {Files: 1, Bytes: 1000, AllFiles: 7, AllBytes: 2000, Rate: 500, Left: 2 * time.Second},
		"7 of 7 files, 2.0 kB of 2.0 kB, 500 B/s":          {Files: 7, Bytes: 2000, AllFiles: 7, AllBytes: 2000, Rate: 500},
	} {
		if got := progressLine(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
