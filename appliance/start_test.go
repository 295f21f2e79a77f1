package main

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

func TestOpenable(t *testing.T) {
	t.Parallel()
	reached := netip.MustParseAddr("10.1.2.3")
	for listen, want := range map[string][2]string{ // with an address that others reach, and without
		"0.0.0.0:3142":      {"10.1.2.3:3142", "BOX:3142"},
		"[::]:80":           {"10.1.2.3:80", "BOX:80"},
		"127.0.0.1:3142":    {"127.0.0.1:3142", "127.0.0.1:3142"},
		"[2001:db8::1]:443": {"[2001:db8::1]:443", "[2001:db8::1]:443"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{openable(addr, reached), openable(addr, netip.Addr{})}; got != want {
			t.Errorf("%s: %v, want %v", listen, got, want)
		}
	}
	if a := reachable(); a.IsUnspecified() || a.IsLoopback() {
		t.Errorf("others reach this machine at %v", a)
	}
}

// A box that starts tells its version, the page, the data and how a client is set up, at
// addresses that are some.
func TestStartReport(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	dir := t.TempDir()
	for _, settings := range [][]string{nil, {"MILLPOND_LISTEN=:0"}, {"MILLPOND_DASHBOARD_LISTEN=127.0.0.1:0"}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var printed bytes.Buffer
		stdout := writer(func(b []byte) {
			printed.Write(b)
			cancel()
		})
		if code := run(ctx, nil, s.environ(dir, settings...), stdout, t.Output()); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		cancel()
		text := printed.String()
		for _, want := range []string{
			`^millpond ` + regexp.QuoteMeta(version) + `\n`, `\nData: ` + regexp.QuoteMeta(dir) + `, [0-9.]+ [kM]?B of 1\.0 GB\n`,
			`\nDashboard.*: http://\S+:[0-9]+/\n`, `\nOn each client.*: echo 'Acquire::http::Proxy "http://\S+:[0-9]+";' \| sudo tee /etc/apt/apt\.conf\.d/01millpond\n$`,
		} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("%v: printed %s, want %s", settings, text, want)
			}
		}
		if strings.Contains(text, "0.0.0.0") || strings.Contains(text, "[::]") || strings.Contains(text, "BOX") != strings.Contains(text, "address for BOX") {
			t.Errorf("%v: printed %s", settings, text)
		}
		page := regexp.MustCompile(`Dashboard.*: http://(\S+)/`).FindStringSubmatch(text)
		if apart := len(settings) > 0 && strings.Contains(settings[0], "DASHBOARD"); page == nil || apart == strings.Contains(text, `"http://`+page[1]+`"`) {
			t.Errorf("%v: printed %s", settings, text)
		}
	}
}

// With the access log on standard output, there is nothing else.
func TestStartReportBesideTheAccessLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	log := writer(func(b []byte) {
		stderr.Write(b)
		if bytes.Contains(b, []byte("On each client")) {
			cancel()
		}
	})
	if code := run(ctx, nil, s.environ(t.TempDir(), "MILLPOND_ACCESS_LOG=-"), &stdout, log); code != exitOK || stdout.Len() > 0 || !strings.Contains(stderr.String(), "\nDashboard") {
		t.Errorf("exit code %d, stdout %s, stderr %s", code, &stdout, &stderr)
	}
}

// A cache that the disk has no room for is told at the start, and the API has what there is.
func TestCacheBeyondTheDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	for size, beyond := range map[string]bool{"100PB": true, "1GB": false} {
		c, err := parseConfig(s.environ(t.TempDir(), "MILLPOND_CACHE_SIZE="+size))
		if err != nil {
			t.Fatal(err)
		}
		var logged bytes.Buffer
		a, err := New(c, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			t.Fatal(err)
		}
		limit, err := a.store.Limit()
		if err != nil {
			t.Fatal(err)
		}
		told := strings.Contains(logged.String(), "MILLPOND_CACHE_SIZE is more than the disk has") && strings.Contains(logged.String(), `size="100.0 PB"`)
		if told != beyond || limit.Bytes > limit.Disk || a.describeStart(netip.Addr{}).limit > limit.Disk || limit.Disk > math.MaxInt64/4 {
			t.Errorf("%s: limit %+v, logged %s", size, limit, &logged)
		}
		if err := a.close(); err != nil {
			t.Fatal(err)
		}
	}
}
