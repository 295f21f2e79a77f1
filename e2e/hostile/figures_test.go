package hostile

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/digest"
)

const (
	// patience is how long a download may take at all.
	patience = 3 * time.Minute
	// least is the score below which a box is not asked: reputation.minScore.
	least = 0.2
)

// figures are what a run of a swarm came to.
type figures struct {
	sent, unique int64         // bytes: by the mirror, and of the files that were asked for
	slowest      time.Duration // of all downloads
	excess       time.Duration // over the mirror alone, the greatest
	where        string        // that was
	lag          time.Duration // what the machine's own lag made of that time alone, then
	copying      time.Duration // of a file that one box holds to all others, the longest
	failed       int
	wrong        int
	notes        []string

	excluded, banned, lost     int // honest boxes, by honest ones
	liarsExcluded, liarsBanned int // dishonest boxes, by honest ones
	pairs                      int // of an honest and a dishonest box
}

func (f *figures) copies() float64 { return float64(f.sent) / float64(max(f.unique, 1)) }

// header is that of a table of rows.
const header = "%-24s %6s %7s %7s %9s %8s %8s %7s %6s %5s %16s %16s"

func head() string {
	return fmt.Sprintf(header, "scenario", "boxes", "copies", "without", "slowest", "excess", "without", "lag", "failed", "wrong", "honest x/b/l", "dishonest x/b/of")
}

// row is a row of the table: excess and lag in seconds, x excluded or
// suspended, b banned, l lost.
func row(name string, p plan, with, without *figures) string {
	copies, excess := "-", "-"
	if without != nil {
		copies, excess = fmt.Sprintf("%.3f", without.copies()), seconds(without.excess)
	}
	return fmt.Sprintf(header, name, fmt.Sprintf("%d+%d", p.honest, len(p.dishonest)), fmt.Sprintf("%.3f", with.copies()), copies,
		seconds(with.slowest), seconds(with.excess), excess, seconds(with.lag), fmt.Sprint(with.failed), fmt.Sprint(with.wrong),
		fmt.Sprintf("%d/%d/%d", with.excluded, with.banned, with.lost), fmt.Sprintf("%d/%d/%d", with.liarsExcluded, with.liarsBanned, with.pairs))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// tally collects the downloads of a run.
type tally struct {
	mu sync.Mutex // guards the figures
	figures
	alone map[int]time.Duration // by archive.sizes; nil: not known
	late  *lateness
}

// download has the client of a box get a file, checks it and takes the time.
func (s *site) download(tl *tally, i, file int) {
	f := s.archive.files[file]
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	begun, late := time.Now(), tl.late.sum()
	got, err := s.get(ctx, i, f.Path)
	took := time.Since(begun)
	late = tl.late.sum() - late
	tl.mu.Lock()
	defer tl.mu.Unlock()
	where := fmt.Sprintf("file %d of %d bytes at box %d in %.2f s", file, len(f.Data), i, took.Seconds())
	switch {
	case err != nil:
		tl.failed++
		tl.notes = append(tl.notes, fmt.Sprintf("%s: %v", where, err))
	case got != digest.Of(f.Data):
		tl.wrong++
		tl.notes = append(tl.notes, where+": wrong")
	}
	tl.slowest = max(tl.slowest, took)
	if alone, ok := tl.alone[s.archive.sizes[file]]; ok && (tl.where == "" || took-alone > tl.excess) {
		tl.excess, tl.where = took-alone, where
		tl.lag = time.Duration(float64(alone) * float64(late) / float64(took-late))
	}
}

// together has clients get a file at once, and returns how long it took.
func (s *site) together(tl *tally, boxes []int, file int) time.Duration {
	begun := time.Now()
	var all sync.WaitGroup
	for _, i := range boxes {
		all.Go(func() { s.download(tl, i, file) })
	}
	all.Wait()
	took := time.Since(begun)
	s.t.Logf("file %d, %d bytes, %d boxes at once: %.2f s", file, len(s.archive.files[file].Data), len(boxes), took.Seconds())
	return took
}

// wave has all clients get all files in the same order, as after a new Release.
func (s *site) wave(tl *tally) {
	begun := time.Now()
	var all sync.WaitGroup
	for i := range s.boxes {
		all.Go(func() {
			for file := range s.archive.files {
				s.download(tl, i, file)
			}
		})
	}
	all.Wait()
	s.t.Logf("%d files at %d boxes: %.2f s", len(s.archive.files), len(s.boxes), time.Since(begun).Seconds())
}

// measure returns the figures of the downloads of the archive's files.
func (s *site) measure(late *lateness, b *baseline, downloads func(*tally)) *figures {
	s.t.Helper()
	tl := &tally{alone: b.alone, late: late}
	s.mirror.ResetLog()
	downloads(tl)
	tl.sent = s.mirror.BytesSent("*/pool/*")
	for _, f := range s.archive.files {
		tl.unique += int64(len(f.Data))
	}
	s.standing(&tl.figures)
	return &tl.figures
}

// standing asks the honest boxes what they think of each other and of the dishonest
// ones.
func (s *site) standing(f *figures) {
	s.t.Helper()
	liars := s.liars()
	f.pairs = len(liars) * len(s.boxes)
	for i, b := range s.boxes {
		banned := told(b.Log(), "peer banned")
		excluded := told(b.Log(), "peer suspended") // at any time
		there := make(map[string]bool)
		for _, p := range b.Peers() {
			there[p.ID] = true
			excluded[p.ID] = excluded[p.ID] || p.Score < least
		}
		for id := range liars {
			f.liarsBanned += count(banned[id])
			f.liarsExcluded += count(excluded[id])
		}
		for j, id := range s.ids {
			f.banned += count(banned[id])
			f.excluded += count(excluded[id])
			if banned[id] || excluded[id] {
				f.notes = append(f.notes, fmt.Sprintf("box %d: the honest box %d is banned: %t, excluded: %t", i, j, banned[id], excluded[id]))
			}
			if j != i && !there[id] && !banned[id] {
				f.lost++
				f.notes = append(f.notes, fmt.Sprintf("box %d lost box %d", i, j))
			}
		}
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// told are the peer IDs of which a box's log says what begins with message.
func told(log, message string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `msg="`+message) {
			continue
		}
		if _, rest, ok := strings.Cut(line, " peer="); ok {
			id, _, _ := strings.Cut(rest, " ")
			all[strings.TrimSpace(id)] = true
		}
	}
	return all
}

// lateness measures by how much this process oversleeps. The share of the time that it
// does is about that which each part of a download waits for the processor.
type lateness struct {
	mu    sync.Mutex // guards total
	total time.Duration
}

func newLateness(t *testing.T) *lateness {
	l := &lateness{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		const every = 10 * time.Millisecond
		for ctx.Err() == nil {
			begun := time.Now()
			time.Sleep(every)
			l.mu.Lock()
			l.total += max(time.Since(begun)-every, 0)
			l.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return l
}

func (l *lateness) sum() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
