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
	if _, err := os.Stat(data); err == nil {
		t.Error("the data directory was made")
	}
}
