package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"millpond/internal/carry"
	"millpond/internal/dashboard"
)

const (
	// rewriteEvery is how often the line of progress is written anew on a terminal,
	// lineEvery how often there is a new one elsewhere, as in a log.
	rewriteEvery = 500 * time.Millisecond
	lineEvery    = 5 * time.Second
)

// showProgress writes how far a command is until stop is called.
func showProgress(w io.Writer, m *carry.Meter) (stop func()) {
	every, terminal := lineEvery, isTerminal(w)
	if terminal {
		every = rewriteEvery
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		width := 0
		for {
			select {
			case now := <-t.C:
				line := progressLine(m.Progress(now))
				if !terminal {
					fmt.Fprintln(w, line)
					continue
				}
				fmt.Fprintf(w, "\r%s%s", line, strings.Repeat(" ", max(width-len(line), 0)))
				width = len(line)
			case <-done:
				if width > 0 {
					fmt.Fprintf(w, "\r%s\r", strings.Repeat(" ", width))
				}
				return
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// progressLine tells how far a command is.
func progressLine(p carry.Progress) string {
	b := dashboard.FormatBytes
	if p.Rate == 0 {
		return fmt.Sprintf("%d files found, %s", p.AllFiles, b(p.AllBytes))
	}
	line := fmt.Sprintf("%d of %d files, %s of %s, %s/s", p.Files, p.AllFiles, b(p.Bytes), b(p.AllBytes), b(int64(p.Rate)))
	if p.Left > 0 {
		line += fmt.Sprintf(", %v left", p.Left)
	}
	return line
}

// isTerminal reports whether w is a terminal, on which a line can be written anew.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}
