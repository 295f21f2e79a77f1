package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Whoever asks for the wrong thing again and again is not to fill the log, nor to push
// out what others cause. In each window a kind of line (a level and a message) is
// written so many times, and so many of them about one party. An update of one machine
// that finds every file missing stays below that.
const (
	quietWindow   = time.Minute
	linesOfParty  = 30
	linesOfKind   = 120
	kindsInWindow = 512 // several times what the code has; further ones count as one
)

// quiet is a slog.Handler that leaves out lines from Info on beyond these limits. When a
// window ends, Run writes how many lines of which kind are missing.
type quiet struct {
	next  slog.Handler
	party party // by the attributes of all its lines
	*seen
}

// seen are the lines of the present window.
type seen struct {
	first slog.Handler // without attributes

	mu    sync.Mutex
	kinds map[kind]*count // guarded by mu
}

type kind struct {
	level   slog.Level
	message string
}

type count struct {
	lines, left int
	of          map[string]int // lines by party; no more parties than lines
}

var _ slog.Handler = (*quiet)(nil)

func newQuiet(next slog.Handler) *quiet {
	return &quiet{next: next, seen: &seen{first: next, kinds: make(map[kind]*count)}}
}

// Enabled implements slog.Handler.
func (q *quiet) Enabled(ctx context.Context, l slog.Level) bool { return q.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		of := q.party
		r.Attrs(func(a slog.Attr) bool {
			of = of.or(a)
			return true
		})
		if !q.admit(kindOf(r), of.name()) {
			return nil
		}
	}
	return q.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := q.party
	for _, a := range attrs {
		of = of.or(a)
	}
	return &quiet{q.next.WithAttrs(attrs), of, q.seen}
}

// WithGroup implements slog.Handler. The box's parts use no groups.
func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{q.next.WithGroup(name), q.party, q.seen}
}

// kindOf is what kind of line r is. Messages that net/http makes have addresses in them.
func kindOf(r slog.Record) kind {
	m := r.Message
	if i := strings.IndexFunc(m, unicode.IsDigit); i > 0 {
		m = m[:i]
	}
	return kind{r.Level, m}
}

// admit counts a line, and reports whether it is written.
func (s *seen) admit(k kind, party string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.kinds[k]
	if c == nil && len(s.kinds) >= kindsInWindow {
		k = kind{k.level, "of other kinds"}
		c = s.kinds[k]
	}
	if c == nil {
		c = &count{of: make(map[string]int)}
		s.kinds[k] = c
	}
	if c.lines >= linesOfKind || c.of[party] >= linesOfParty {
		c.left++
		return false
	}
	c.lines++
	c.of[party]++
	return true
}

// Run ends a window after the other until ctx ends; it then returns nil.
func (q *quiet) Run(ctx context.Context) error {
	tick := time.NewTicker(quietWindow)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			q.end(ctx)
		case <-ctx.Done():
			q.end(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// end writes what was left out of a window.
func (q *quiet) end(ctx context.Context) {
	q.mu.Lock()
	kinds := q.kinds
	q.kinds = make(map[kind]*count)
	q.mu.Unlock()
	log := slog.New(q.first)
	for k, c := range kinds {
		if c.left > 0 {
			log.Log(ctx, k.level, "lines left out", "of", k.message, "lines", c.left, "written", c.lines)
		}
	}
}

// party is the outside party that a line is about: the value of the first of
// partyKeys that it has.
type party struct {
	rank  int // in partyKeys, from its end; 0 for none
	value slog.Value
}

// partyKeys are those attributes of the box's lines that name one.
var partyKeys = []string{"client", "addr", "peer", "proxy", "host", "mirror", "source", "suite", "url"}

// or returns the party of a line that also has a.
func (p party) or(a slog.Attr) party {
	i := slices.Index(partyKeys, a.Key)
	if rank := len(partyKeys) - i; i >= 0 && rank > p.rank {
		return party{rank, a.Value}
	}
	return p
}

// name is the host where the value is a URL.
func (p party) name() string {
	if p.rank == 0 {
		return ""
	}
	name := p.value.Resolve().String()
	if _, rest, ok := strings.Cut(name, "//"); ok {
		name, _, _ = strings.Cut(rest, "/")
	}
	return name
}
