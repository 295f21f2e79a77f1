package party_test

import (
	"testing"

	"millpond/internal/party"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"archive.example.org":      "example.org",
		"a.b.archive.example.org":  "example.org",
		"example.org:8080":         "example.org",
		"www.example.co.uk":        "example.co.uk",
		"somebody.github.io":       "somebody.github.io", // others may have names beside it
		"apt":                      "apt",
		"apt:3142":                 "apt",
		"192.0.2.7:80":             "192.0.2.7",
		"192.0.2.8":                "192.0.2.8",
		"[2001:db8::1]:80":         "2001:db8::/64",
		"[2001:db8::ffff:0:0:1]":   "2001:db8::/64",
		"[2001:db8:0:1::1]":        "2001:db8:0:1::/64",
		"co.uk":                    "co.uk",
		"mirror.site.internal:443": "site.internal",
	} {
		if got := party.Of(host); got != want {
			t.Errorf("Of(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestFirst(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		all  []party.Entry
		want int
	}{
		"none":           {nil, -1},
		"the oldest":     {[]party.Entry{{"a", 0, 1, 2}, {"b", 0, 1, 1}, {"c", 0, 1, 3}}, 1},
		"a lower class":  {[]party.Entry{{"a", 2, 9, 1}, {"b", 1, 1, 9}}, 1},
		"who has most":   {[]party.Entry{{"a", 0, 3, 1}, {"b", 0, 2, 2}, {"b", 0, 2, 3}}, 1},
		"a whole domain": {[]party.Entry{{"other.test", 0, 2, 1}, {"1.evil.test", 0, 2, 3}, {"2.evil.test", 0, 2, 2}}, 2},
		"its largest host": {
			[]party.Entry{{"deb.site.test", 0, 1, 1}, {"snapshot.site.test", 0, 1, 3}, {"snapshot.site.test", 0, 1, 2}, {"x", 0, 2, 0}}, 2,
		},
		"other classes": {[]party.Entry{{"a", 1, 9, 1}, {"a", 0, 1, 2}, {"b", 0, 2, 9}}, 2},
	} {
		if got := party.First(tt.all); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
