package main

import (
	"fmt"
	"io"
	"log/slog"
)

// logFormat is what a line of the log is.
type logFormat string

const (
	logText logFormat = "text" // key=value
	logJSON logFormat = "json" // an object
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *logFormat) UnmarshalText(text []byte) error {
	switch got := logFormat(text); got {
	case logText, logJSON:
		*f = got
		return nil
	default:
		return fmt.Errorf("no such format: %q", text)
	}
}

// logLevel is the least level that is logged.
type logLevel struct{ slog.Level }

// UnmarshalText implements encoding.TextUnmarshaler. Its error, unlike slog's, is for an
// administrator.
func (l *logLevel) UnmarshalText(text []byte) error {
	if err := l.Level.UnmarshalText(text); err != nil {
		return fmt.Errorf("no such level: %.40q", text)
	}
	return nil
}

// newLogger logs to w as c says.
func newLogger(c Config, w io.Writer) *slog.Logger {
	if c.LogFormat == logJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.LogLevel.Level, ReplaceAttr: asText}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: c.LogLevel.Level}))
}

// asText has values that know how they are written be written so, as in text.
// Otherwise JSON shows their fields, and of a URL's its password.
func asText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindAny {
		if s, ok := a.Value.Any().(fmt.Stringer); ok {
			a.Value = slog.StringValue(fmt.Sprint(s))
		}
	}
	return a
}
