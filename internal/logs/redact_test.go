package logs

import "testing"

func TestHide(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://a.example/x?token=y: no such host": "http://a.example/x?xxxxx no such host",
		`Get "http://me:pw@a.example/x?a=b": EOF`:  `Get "http://xxxxx@a.example/x?xxxxx": EOF`,
		"http://token@a.example/":                  "http://xxxxx@a.example/",
		"/https/me:pw@a.example/dists":             "/https/xxxxx@a.example/dists",
		"what is that? nothing":                    "what is that? nothing",
		"/@scope/package at me@example.org":        "/@scope/package at me@example.org",
		"/ip4/192.0.2.1/tcp/4001":                  "/ip4/192.0.2.1/tcp/4001",
	} {
		if got := hide(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
