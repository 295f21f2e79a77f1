package swarm

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
	"go.uber.org/zap/zapcore"
)

// libp2p has one log for the process, and two libraries that write it: slog
// in libp2p, zap in the DHT. Both come to the Log of the Swarm made last. Its
// errors are warnings here, since a swarm lives with peers that fail; the
// rest is for debugging, and its own debug level is left out: that is several
// lines for each packet.
var (
	theirLog     atomic.Pointer[slog.Logger]
	captureTheir = sync.OnceFunc(func() {
		gologshim.SetDefaultHandler(theirHandler{})
		golog.SetPrimaryCore(theirCore{zapcore.WarnLevel, nil})
	})
)

func logTo(log *slog.Logger) {
	theirLog.Store(log)
	captureTheir()
}

// ourLevel is the level here of one of theirs.
func ourLevel(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// theirHandler takes libp2p's lines.
type theirHandler struct{ attrs []slog.Attr }

func (h theirHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && theirLog.Load().Enabled(ctx, ourLevel(l))
}

func (h theirHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = ourLevel(r.Level)
	r.Message = "libp2p: " + r.Message
	r.AddAttrs(h.attrs...)
	return theirLog.Load().Handler().Handle(ctx, r)
}

func (h theirHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return theirHandler{append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h theirHandler) WithGroup(string) slog.Handler { return h }

// theirCore takes the DHT's lines.
type theirCore struct {
	zapcore.LevelEnabler
	fields []zapcore.Field
}

func (c theirCore) With(fields []zapcore.Field) zapcore.Core {
	return theirCore{c.LevelEnabler, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c theirCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c theirCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelDebug
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelWarn
	}
	values := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(values)
	}
	attrs := []slog.Attr{slog.String("logger", e.LoggerName)}
	for k, v := range values.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	theirLog.Load().LogAttrs(context.Background(), level, "libp2p: "+e.Message, attrs...)
	return nil
}

func (c theirCore) Sync() error { return nil }
