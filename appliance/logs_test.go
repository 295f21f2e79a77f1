package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
)

// In JSON each line is an object, and values are written as they are in text.
func TestLogFormats(t *testing.T) {
	t.Parallel()
	l, err := catalog.ParseLocation("http", "archive.example.org", "/debian/dists/stable/InRelease")
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[logFormat]string{
		logText: `level=INFO msg="request not served" part=proxy client=10.0.0.7 url=http://archive.example.org/debian/dists/stable/InRelease status=403 err="two\nlines"`,
		logJSON: `"level":"INFO","msg":"request not served","part":"proxy","client":"10.0.0.7","url":"http://archive.example.org/debian/dists/stable/InRelease","status":403,"err":"two\nlines"}`,
	} {
		var out bytes.Buffer
		log := newLogger(Config{LogFormat: format, LogLevel: logLevel{slog.LevelInfo}}, &out)
		log.Debug("not this one")
		log.With("part", "proxy").Info("request not served", "client", netip.MustParseAddr("10.0.0.7"), "url", l, "status", 403, "err", errors.New("two\nlines"))
		if _, got, _ := strings.Cut(out.String(), strings.SplitN(want, "INFO", 2)[0]); strings.SplitN(want, "INFO", 2)[0]+got != want+"\n" {
			t.Errorf("%s: %s, want %s", format, &out, want)
		}
	}
}

// Everything that a box logs from its start to its end is in the format.
func TestLogInJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var logged, printed bytes.Buffer
	var started map[string]any
	log := writer(func(line []byte) {
		logged.Write(line)
		if bytes.Contains(line, []byte(`"msg":"started"`)) {
			if err := json.Unmarshal(line, &started); err != nil {
				t.Error(err)
			}
			cancel()
		}
	})
	dir := t.TempDir()
	if code := run(ctx, nil, s.environ(dir, "MILLPOND_LOG_FORMAT=json", "MILLPOND_LOG_LEVEL=debug"), &printed, log); code != exitOK || printed.Len() > 0 {
		t.Errorf("exit code %d, printed %s", code, &printed)
	}
	page, _ := started["dashboard"].(string)
	setup, _ := started["client_setup"].(string)
	if started["version"] != version || started["data_dir"] != dir || started["limit"] != 1e9 || !strings.HasPrefix(page, "http://127.0.0.1:") || !strings.Contains(setup, strings.TrimSuffix(page, "/")+`";`) {
		t.Errorf("started: %v", started)
	}
	var messages []string
	for line := range bytes.Lines(logged.Bytes()) {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal(line, &entry); err != nil || entry.Time == "" || entry.Level == "" {
			t.Errorf("%v: %s", err, line)
		}
		messages = append(messages, entry.Msg)
	}
	if !slices.Contains(messages, "serving") {
		t.Errorf("logged %q", messages)
	}
}

// writer calls a function with what is written.
type writer func([]byte)

var _ io.Writer = writer(nil)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}
