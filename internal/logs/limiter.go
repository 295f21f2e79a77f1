package logs

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// In each window, so many lines of a kind (a level and a message) are written, and so
// many of them about one party. An update of one machine that finds every file missing
// stays below that.
const (
	window        = time.Minute
	linesOfParty  = 30
	linesOfKind   = 120
	kindsInWindow = 512 // several times what the code has; further ones count as one
)

// Limiter is a slog.Handler that leaves out lines at Info and above beyond these limits,
// so that nobody who asks for the wrong thing again and again fills the log, or pushes
// out the lines about others. When a window ends, Run writes how many lines of which
// kind are missing. Run must be called.
type Limiter struct {
	next  slog.Handler
	about party // by the attributes that all its lines have
	*seen
}

// seen counts the lines of the present window, for a Limiter and all that derive from it.
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

var _ slog.Handler = (*Limiter)(nil)

// NewLimiter returns a Limiter in front of next.
func NewLimiter(next slog.Handler) *Limiter {
	return &Limiter{next: next, seen: &seen{first: next, kinds: make(map[kind]*count)}}
}

// Enabled implements slog.Handler.
func (l *Limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *Limiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		of := l.about
		r.Attrs(func(a slog.Attr) bool {
			of = of.or(a)
			return true
		})
		if !l.admit(kindOf(r), of.name()) {
			return nil
		}
	}
	return l.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *Limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := l.about
	for _, a := range attrs {
		of = of.or(a)
	}
	return &Limiter{l.next.WithAttrs(attrs), of, l.seen}
}

// WithGroup implements slog.Handler. The box's parts use no groups.
func (l *Limiter) WithGroup(name string) slog.Handler {
	return &Limiter{l.next.WithGroup(name), l.about, l.seen}
}

// kindOf is what kind of line r is. A message counts up to its first digit, since those
// of net/http have addresses in them.
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

// Run ends one window after another until ctx ends; it then returns nil.
func (l *Limiter) Run(ctx context.Context) error {
	tick := time.NewTicker(window)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.end(ctx)
		case <-ctx.Done():
			l.end(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// end writes what was left out of a window.
func (l *Limiter) end(ctx context.Context) {
	l.mu.Lock()
	kinds := l.kinds
	l.kinds = make(map[kind]*count)
	l.mu.Unlock()
	log := slog.New(l.first)
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
