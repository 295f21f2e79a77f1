package logs

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

// A line with client and URL loses one of them, but at debug level; others are whole.
func TestUnlink(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(Unlink(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))).With("part", "proxy")
	addr := netip.MustParseAddr("10.1.2.3")
	log.Info("request not served", "client", addr, "url", "http://h/bash.deb", "err", "404")
	log.Info("request not served", "client", addr, "url", "http://h/bash.deb", "err", "client 10.1.2.3 may not use the box")
	log.Info("admin action", "client", addr, "path", "/x")
	log.Debug("file served", "client", addr, "url", "http://h/bash.deb")
	for i, want := range []string{
		`msg="request not served" part=proxy url=http://h/bash.deb err=404`,
		`msg="request not served" part=proxy client=10.1.2.3 err="client 10.1.2.3 may not use the box"`,
		`msg="admin action" part=proxy client=10.1.2.3 path=/x`,
		`msg="file served" part=proxy client=10.1.2.3 url=http://h/bash.deb`,
	} {
		if line := strings.Split(out.String(), "\n")[i]; !strings.HasSuffix(line, want) {
			t.Errorf("%s, want %s", line, want)
		}
	}
}
