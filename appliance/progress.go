package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"millpond/internal/dashboard"
	"millpond/internal/jobs"
)

const (
	// redrawEvery is the time between two states of the line on a terminal.
	redrawEvery = 500 * time.Millisecond
	// lineEvery is the time between two lines where there is no terminal: a log of an
	// hour has some hundred of them.
	lineEvery = 5 * time.Second
)

// progress tells how far a command is: on a terminal in a line that is written over again,
// otherwise in a line every few seconds. What is done is told to its Meter.
type progress struct {
	*jobs.Meter
	did      string // "Verified", before what is done
	w        io.Writer
	terminal bool
	end      chan struct{}
	shown    sync.WaitGroup
}

// showProgress begins to tell on w, and shows no more once End has been called. A meter that
// is nil is made.
func showProgress(w io.Writer, did string, m *jobs.Meter) *progress {
	if m == nil {
		m = jobs.NewMeter()
	}
	p := &progress{Meter: m, did: did, w: w, terminal: isTerminal(w), end: make(chan struct{})}
	p.start()
	return p
}

func (p *progress) start() {
	interval := lineEvery
	if p.terminal {
		interval = redrawEvery
	}
	p.shown.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-p.end:
				return
			case <-tick.C:
				p.print()
			}
		}
	})
}

// End ends the telling, and removes the line from a terminal. It is called once.
func (p *progress) End() {
	close(p.end)
	p.shown.Wait()
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func (p *progress) print() {
	line := p.did + " " + progressText(p.Progress())
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s\x1b[K", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

// progressText says how far something is, such as "12 of 40 files, 1.2 GB of 3.4 GB,
// 120 MB/s, 18 s left".
func progressText(p jobs.Progress) string {
	b := dashboard.FormatBytes
	files, bytes := fmt.Sprint(p.Done.Files), b(p.Done.Bytes)
	if p.Total.Files > 0 {
		files = fmt.Sprintf("%s of %d", files, p.Total.Files)
	}
	if p.Total.Bytes > 0 {
		bytes += " of " + b(p.Total.Bytes)
	}
	parts := []string{files + " files", bytes, b(int64(p.Rate)) + "/s"}
	if p.Known {
		parts = append(parts, durationText(p.Left)+" left")
	}
	return strings.Join(parts, ", ")
}

// durationText is a duration in the two units that matter.
func durationText(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}

// isTerminal reports whether w is one, or another device, such as /dev/null, where it does
// not matter.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
