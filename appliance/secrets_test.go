package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A secret may come from a file; what is wrong with the file is said without the
// secret.
func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const token = "open-sesame-and-more"
	good := file("good", token+"\n")
	for _, tt := range []struct {
		name    string
		environ []string
		fault   string // "" for none
	}{
		{"a file", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + good}, ""},
		{"an empty variable beside it", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + good, "MILLPOND_ADMIN_TOKEN="}, ""},
		{"a variable alone", []string{"MILLPOND_ADMIN_TOKEN_FILE=", "MILLPOND_ADMIN_TOKEN=" + token}, ""},
		{"a short one", []string{"MILLPOND_ADMIN_TOKEN=fifteen-letters"}, "MILLPOND_ADMIN_TOKEN: takes a random word of at least 16 characters: it has 15; `openssl rand -hex 16` makes a good one"},
		{"a short one in a file", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + file("short", "fifteen-letters\n")}, "it has 15"},
		{"both", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + good, "MILLPOND_ADMIN_TOKEN=" + token}, "MILLPOND_ADMIN_TOKEN is set as well"},
		{"the secret itself", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + token}, "absolute path"},
		{"none", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + filepath.Join(dir, "none")}, "no such file"},
		{"a directory", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + dir}, "is a directory"},
		{"an empty one", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + file("empty", "\n")}, "it is empty"},
		{"two lines", []string{"MILLPOND_ADMIN_TOKEN_FILE=" + file("two", token+"\n"+token+"\n")}, "more than one line"},
		{"endless", []string{"MILLPOND_ADMIN_TOKEN_FILE=/dev/zero"}, "more than 65536 bytes"},
		{"a setting that is no secret", []string{"MILLPOND_LISTEN_FILE=" + good}, "no such setting"},
	} {
		c, err := parseConfig(tt.environ)
		switch {
		case tt.fault == "" && (err != nil || c.AdminToken != token):
			t.Errorf("%s: %v, token %q", tt.name, err, c.AdminToken)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want a line with %q", tt.name, err, tt.fault)
		}
		for _, s := range c.shown() {
			if strings.Contains(s.Value, "sesame") {
				t.Errorf("%s: the page shows %v", tt.name, s)
			}
		}
	}
	upstream := file("upstream", "http://bob:hunter2@proxy.example.net:3128\n")
	if c, err := parseConfig([]string{"MILLPOND_UPSTREAM_PROXY_FILE=" + upstream}); err != nil || !strings.Contains(c.UpstreamProxy, "hunter2") {
		t.Errorf("the upstream proxy: %v, %q", err, c.UpstreamProxy)
	}
	const digits = "0f0e0d0c0b0a09080706050403020100ffeeddccbbaa99887766554433221100"
	for name, text := range map[string]string{"line": digits + "\n", "libp2p": "/key/swarm/psk/1.0.0/\n/base16/\n" + digits + "\n"} {
		if c, err := parseConfig([]string{"MILLPOND_SWARM_KEY_FILE=" + file("key-"+name, text)}); err != nil || !strings.HasSuffix(string(c.swarmKey()), digits) {
			t.Errorf("a swarm key, %s: %v, %q", name, err, c.SwarmKey)
		}
	}
	if _, err := parseConfig([]string{"MILLPOND_SWARM_KEY_FILE=" + file("key-short", digits[2:])}); err == nil || strings.Contains(err.Error(), digits[2:8]) {
		t.Errorf("a short swarm key: %v", err)
	}
	if c, err := parseConfig(nil); err != nil || c.swarmKey() != nil {
		t.Errorf("no swarm key: %v, %q", err, c.swarmKey())
	}
	var help bytes.Buffer
	printHelp(&help)
	for _, name := range []string{"MILLPOND_ADMIN_TOKEN_FILE", "MILLPOND_UPSTREAM_PROXY_FILE", "MILLPOND_SWARM_KEY_FILE"} {
		if !strings.Contains(help.String(), name+"\n") {
			t.Errorf("the help has no %s", name)
		}
	}
}
