package main

import (
	"fmt"
	"strings"
	"testing"
)

// The dashboard shows every setting as it is in force, and no secret.
func TestShownSettings(t *testing.T) {
	t.Parallel()
	c, err := parseConfig([]string{"MILLPOND_ADMIN_TOKEN=open-sesame-and-more", "MILLPOND_INDEX_TTL=5m", "MILLPOND_TUNNELS="})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, s := range c.shown() {
		got[s.Name] = fmt.Sprint(s.Value, " ", s.Set)
	}
	for name, want := range map[string]string{
		"MILLPOND_ADMIN_TOKEN": "hidden true", "MILLPOND_INDEX_TTL": "5m true", "MILLPOND_TUNNELS": "true false", "MILLPOND_OFFLINE": "false false",
	} {
		if got[name] != want {
			t.Errorf("%s is shown as %q, want %q", name, got[name], want)
		}
	}
	if all := fmt.Sprint(c.shown()); strings.Contains(all, "sesame") || len(got) != len(settings()) {
		t.Errorf("shown: %s", all)
	}
}
