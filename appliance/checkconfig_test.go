package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	for _, tt := range []struct {
		name     string
		settings []string
		says     []string
		not      []string
	}{
		{"nothing set", nil, []string{
			"serve clients, dashboard, API and metrics at :3142\n", "take clients from private and loopback addresses\n", "keep at most 50% of the disk in ",
			"reach mirrors directly, by the addresses that this machine's DNS servers give\n", "serve files of all archives, at public addresses\n",
			"open tunnels to any https archive\n", "take part in the open swarm", "not the default:\n  none\n",
		}, []string{"Note:", "under their own names"}},
		{"much set", []string{
			"MILLPOND_LISTEN=:3142,:80", "MILLPOND_DASHBOARD_LISTEN=127.0.0.1:3143", "MILLPOND_DATA_DIR=" + data, "MILLPOND_CACHE_SIZE=200GB", "MILLPOND_ALLOW_CLIENTS=10.0.0.0/8,fd00::/8",
			"MILLPOND_HOSTS=default", "MILLPOND_RESOLVER=192.0.2.53", "MILLPOND_UPSTREAM_PROXY=http://bob:hunter2@proxy.example.net:3128", "MILLPOND_UPSTREAM_PROXY_EXCEPT=nas",
			"MILLPOND_TUNNELS=download.example.org", "MILLPOND_ONLY_ARCHIVES=archive.example.org", "MILLPOND_ALLOW_UPSTREAMS=10.1.2.3", "MILLPOND_SWARM=false",
		}, []string{
			"serve clients at :3142 and :80\n", "serve dashboard, API and metrics at 127.0.0.1:3143\n", "take clients from 10.0.0.0/8, fd00::/8\n",
			"keep at most 200.0 GB in " + data + ", which it would make\n", "where DNS leads these here: default\n", "through the proxy proxy.example.net:3128, but for nas, by the addresses that the DNS servers 192.0.2.53 give\n",
			"serve files of archive.example.org, at public addresses and at 10.1.2.3\n", "open tunnels to download.example.org\n", "take part in no swarm\n", "MILLPOND_UPSTREAM_PROXY=hidden\n",
		}, []string{"Note:", "hunter2"}},
		{"offline", []string{"MILLPOND_OFFLINE=true", "MILLPOND_TUNNELS=false"}, []string{"contact no mirror\n"}, []string{"tunnels"}},
		{"names alone", []string{"MILLPOND_HOSTS=default"}, []string{"without MILLPOND_RESOLVER", "without port 80"}, nil},
	} {
		code, out, errs := program(t, tt.settings, "check-config")
		if code != exitOK || errs != "" {
			t.Errorf("%s: exit %d, %s", tt.name, code, errs)
		}
		for _, words := range tt.says {
			if !strings.Contains(out, words) {
				t.Errorf("%s: it does not say %q:\n%s", tt.name, words, out)
			}
		}
		for _, words := range tt.not {
			if strings.Contains(out, words) {
				t.Errorf("%s: it says %q:\n%s", tt.name, words, out)
			}
		}
	}
	list := filepath.Join(dir, "hosts")
	writeList(t, list, strings.Repeat("host.example.org\n", 3)+"a.example.org,b.example.org")
	_, out, _ := program(t, []string{"MILLPOND_HOSTS_FILE=" + list, "MILLPOND_TUNNELS=no"}, "check-config")
	if !strings.Contains(out, "a.example.org, b.example.org, host.example.org (3 entries in "+list) || !strings.Contains(out, "without MILLPOND_RESOLVER") || !strings.Contains(out, "MILLPOND_TUNNELS=false") {
		t.Errorf("with a list in a file: %s", out)
	}
	writeList(t, list, "nas")
	if code, out, errs := program(t, []string{"MILLPOND_HOSTS_FILE=" + list, "MILLPOND_LISTEN=x"}, "check-config"); code != exitUsage || out != "" || !strings.Contains(errs, "line 1") || !strings.Contains(errs, "MILLPOND_LISTEN") {
		t.Errorf("with faults: exit %d, %s%s", code, out, errs)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("the data directory was made")
	}
}

// Each setting has a part in what check-config says that a box would do.
func TestCheckConfigIsComplete(t *testing.T) {
	t.Chdir(t.TempDir())
	examples(t)
	sentences := func(environ ...string) string {
		c, err := parseConfig(environ)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(c.describe(), "\n")
	}
	for name, example := range settingExamples {
		var with []string
		switch name {
		case "UPSTREAM_PROXY_EXCEPT":
			with = []string{"MILLPOND_UPSTREAM_PROXY=http://proxy.example.net:3128"}
		}
		if sentences(with...) == sentences(append(with, prefix+name+"="+example)...) {
			t.Errorf("%s%s=%s changes nothing of what check-config says", prefix, name, example)
		}
	}
}
