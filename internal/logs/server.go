package logs

import (
	"log"
	"log/slog"
	"strings"
)

// OfServer returns an http.Server's ErrorLog: what failed in the message, and the
// server's text, with addresses and ports in it, under err.
func OfServer(l *slog.Logger) *log.Logger { return log.New(serverLines{l}, "", 0) }

type serverLines struct{ *slog.Logger }

// Write implements io.Writer; net/http calls it once for each line.
func (s serverLines) Write(line []byte) (int, error) {
	s.Warn("the HTTP server reports trouble with a connection", "err", strings.TrimSpace(string(line)))
	return len(line), nil
}
