package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"millpond/internal/store"
)

func TestParseCacheSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]store.Quota{
		"200GB":     {Bytes: 200e9},
		"200g":      {Bytes: 200e9},
		"1.5TiB":    {Bytes: 3 << 39},
		"1.5T":      {Bytes: 1.5e12},
		"100Gi":     {Bytes: 100 << 30},
		"100 mib":   {Bytes: 100 << 20},
		"64000000b": {Bytes: 64e6},
		"80%":       {Percent: 80},
		" 0.5 % ":   {Percent: 0.5},
	} {
		if got, err := parseCacheSize(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "GB", "0", "200", "1000000000000", "-1GB", "0%", "101%", "12XB", "1e3GB", "0x10G", "inf", "NaN%", "9999999PB",
		"1 2GB", "1.2.3GB", "80%%", "200GBB", "200bb", "200iB", "10MB", "7b",
	} {
		if got, err := parseCacheSize(in); err == nil {
			t.Errorf("%q: got %+v, want an error", in, got)
		}
	}
}

func FuzzParseCacheSize(f *testing.F) {
	for _, s := range []string{"200GB", "1.5T", "80%", "1048576", ".%", "9e99", "64000000B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parseCacheSize(s)
		if err != nil {
			return
		}
		if q.Percent < 0 || q.Percent > 100 || (q.Bytes != 0) == (q.Percent != 0) || q.Bytes != 0 && q.Bytes < leastCache {
			t.Fatalf("%q: got %+v", s, q)
		}
	})
}

// goWords are what an administrator should never read: names of Go's packages, functions
// and types, and words of its parsers.
var goWords = regexp.MustCompile(`(?i:strconv|parse(bool|int|uint|float|addr|prefix)|invalid syntax|out of range|time: |netip|slog|net/|url:|` +
	`failed to parse|unmarshal|lookup |nil|0x|%!|\bstat |\bopen |\blstat |missing port in address|EOF|reflect|map\[|struct|multihash|\bcid\b)|\b[a-z]+\.[A-Z][a-z]+`)

// Whatever stands in a setting, the message about it is in the words of an administrator.
func TestFaultsAreInPlainWords(t *testing.T) {
	t.Parallel()
	garbage := []string{
		"x", "\x01", "é\xff", "99999999999999999999", "-1", "1e400", "http://[::1", "%zz", "a b c d", "/none/x", "[::1", "1.2.3.4/99", "10.0.0.1/8", ":http", ":99999", "://",
		"/ip4/1.2.3.4/tcp/x", "/ip4/1.2.3.4/tcp/99999", "/nope/x", "/dns4//tcp/4001", "/ip4/10.0.0.1/tcp/4001/p2p/x", "days=x", "days=99999999999999999999", "1h1", "@", "*", "host/*:80", ",", "a;b",
		"12D3KooW", "1h1x", "1MB@x-y", "1MB/s@99999999999999999999-1", "http://a.example s m amd64 dated=http://[", "http://a.example:x s m amd64", "prod clients=1.2.3.4/99", "prod delay=1x",
		"http://a=http://b:99999", "http://a.example=http://b.example:x", "host:99999999999999999999", "token:x", "fe80::1%eth0", "ftp://10.0.0.1:x",
	}
	for _, s := range settings() {
		faults := 0
		for _, value := range garbage {
			_, err := parseConfig([]string{s.Name + "=" + value})
			if err == nil {
				continue
			}
			faults++
			for line := range strings.Lines(err.Error()) {
				_, reason, _ := strings.Cut(line, ": takes "+s.Takes+": ")
				reason = strings.ReplaceAll(reason, value, "")
				reason = strings.ReplaceAll(reason, strings.Trim(fmt.Sprintf("%q", value), `"`), "")
				if word := goWords.FindString(reason); word != "" || reason == "" {
					t.Errorf("%s=%q: %q in %s", s.Name, value, word, line)
				}
			}
		}
		switch s.Name {
		case "MILLPOND_DATA_DIR", "MILLPOND_IDENTITY_FILE", "MILLPOND_ADMIN_TOKEN": // any text will do
		default:
			if faults == 0 {
				t.Errorf("%s takes all of it", s.Name)
			}
		}
	}
}
