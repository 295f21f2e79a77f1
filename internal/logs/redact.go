package logs

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
)

// Redact returns a handler that hides from h what may be secret in URLs, whoever logs
// them and however deep in an error they are: logins, and what queries say.
func Redact(h slog.Handler) slog.Handler { return redacting{h} }

type redacting struct{ slog.Handler }

// Handle implements slog.Handler.
func (d redacting) Handle(ctx context.Context, r slog.Record) error {
	plain := slog.NewRecord(r.Time, r.Level, hide(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		plain.AddAttrs(hidden(a))
		return true
	})
	return d.Handler.Handle(ctx, plain)
}

// WithAttrs implements slog.Handler.
func (d redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		all[i] = hidden(a)
	}
	return redacting{d.Handler.WithAttrs(all)}
}

// WithGroup implements slog.Handler.
func (d redacting) WithGroup(name string) slog.Handler { return redacting{d.Handler.WithGroup(name)} }

// hidden is a as it may be logged.
func hidden(a slog.Attr) slog.Attr {
	if kind := a.Value.Kind(); kind != slog.KindString && kind != slog.KindAny && kind != slog.KindLogValuer {
		return a
	}
	text := a.Value.Resolve().String()
	if plain := hide(text); plain != text {
		a.Value = slog.StringValue(plain)
	}
	return a
}

var (
	// loginIn finds what stands before an @ in the place of a host, and before one
	// further behind where it has a password.
	loginIn = regexp.MustCompile(`(//)[^/\s"'@]*@|(/)[^/\s"'@]*:[^/\s"'@]*@`)
	// queryIn finds the query of a path.
	queryIn = regexp.MustCompile(`(/[^\s"'?]*)\?[^\s"']+`)
)

func hide(text string) string {
	if strings.Contains(text, "@") {
		text = loginIn.ReplaceAllString(text, "$1${2}xxxxx@")
	}
	if strings.Contains(text, "?") {
		text = queryIn.ReplaceAllString(text, "$1?xxxxx")
	}
	return text
}
