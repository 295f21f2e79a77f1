package catalog

import "testing"

func TestLine(t *testing.T) {
	t.Parallel()
	dir := Location{Scheme: "http", Host: "archive.example.org", Path: "/debian/dists/x"}
	for _, tt := range []struct{ suite, codename, want string }{
		{"", "bookworm", "bookworm"},
		{"", "bookworm-security", "bookworm"},
		{"", "bookworm-backports", "bookworm later"},
		{"", "noble-proposed", "noble later"},
		{"noble-backports", "noble", "noble later"},
		{"noble-updates", "noble", "noble"},
		{"", "stable/updates", "stable"},
		{"stable-updates", "", "stable"},
		{"", "", dir.String()},
	} {
		got, onRequest := Line(dir, tt.suite, tt.codename)
		if onRequest {
			got += " later"
		}
		if got != tt.want {
			t.Errorf("%q, %q: %q, want %q", tt.suite, tt.codename, got, tt.want)
		}
	}
}
