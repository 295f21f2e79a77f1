package logs

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// Unlink returns a handler of whose lines h gets none that says which client requested
// what, but for those at debug level, which an operator asks for.
func Unlink(h slog.Handler) slog.Handler { return unlinking{h} }

type unlinking struct{ slog.Handler }

// Handle implements slog.Handler. A line that has a client and a URL loses the
// client, or the URL if the client's address is the reason for the line.
func (u unlinking) Handle(ctx context.Context, r slog.Record) error {
	var client, rest strings.Builder
	url := false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "client":
			fmt.Fprint(&client, a.Value)
		case "url":
			url = true
		default:
			fmt.Fprintln(&rest, a.Value)
		}
		return true
	})
	if r.Level < Notice || client.Len() == 0 || !url {
		return u.Handler.Handle(ctx, r)
	}
	drop := "client"
	if strings.Contains(rest.String(), client.String()) {
		drop = "url"
	}
	kept := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != drop {
			kept.AddAttrs(a)
		}
		return true
	})
	return u.Handler.Handle(ctx, kept)
}

// WithAttrs implements slog.Handler.
func (u unlinking) WithAttrs(attrs []slog.Attr) slog.Handler {
	return unlinking{u.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (u unlinking) WithGroup(name string) slog.Handler { return unlinking{u.Handler.WithGroup(name)} }
