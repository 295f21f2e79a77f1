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

// libp2p logs per process, not per host: itself through slog, the DHT through
// zap. Both are redirected to the Log of the Swarm made last. Their errors
// become warnings, since failing peers are normal in a swarm, and the rest
// becomes debug. Their own debug level is dropped: it logs several lines per
// packet.
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

// ourLevel translates a level of libp2p's.
func ourLevel(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// theirHandler redirects libp2p's log.
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

// theirCore redirects the DHT's log.
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
