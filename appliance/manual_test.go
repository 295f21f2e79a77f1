package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

var update = flag.Bool("update", false, "write the settings into docs/settings.md")

// settingExamples has a value for each setting, as the manual shows it.
var settingExamples = map[string]string{
	"LISTEN":                "10.1.0.5:3142,10.1.0.5:80",
	"HOSTS":                 "default,archive.example.org",
	"RESOLVER":              "192.0.2.53,192.0.2.54:5353",
	"DASHBOARD_LISTEN":      "10.1.0.5:8080",
	"DASHBOARD_ACCESS":      "apt.example.org,10.1.0.0/16,token:a-long-random-word",
	"DATA_DIR":              "/srv/millpond",
	"CACHE_SIZE":            "200GB",
	"INDEX_TTL":             "5m",
	"KEYRING_DIR":           "/usr/share/keyrings,/etc/apt/keyrings",
	"TRUST_HOSTS":           "archive.example.org",
	"ALLOW_CLIENTS":         "10.1.0.0/16,fd00::/8",
	"TLS_CERT":              "cert.pem,key.pem",
	"TRUSTED_PROXIES":       "192.0.2.10",
	"ALLOW_UPSTREAMS":       "mirror.lan,downloads.example.org/*",
	"ONLY_ARCHIVES":         "archive.example.org,*.security.example.org",
	"MIRRORS":               "http://archive.example.org/debian=http://a.example/debian|https://b.example/debian",
	"FOLLOW":                "http://archive.example.org/debian bookworm,bookworm-updates main amd64,source; http://archive.example.org/flat ./ amd64",
	"UPSTREAM_PROXY":        "http://user:password@proxy.example.net:3128",
	"UPSTREAM_PROXY_EXCEPT": "mirror.lan,10.0.0.0/8",
	"AUTH_FILE":             "auth.conf",
	"MIRROR_RATE":           "20MB/s@08-18,5MB/s@18-22",
	"PREFETCH":              "20GB",
	"TUNNELS":               "download.example.org,*.example.net",
	"OFFLINE":               "yes",
	"SWARM":                 "no",
	"SWARM_LISTEN":          "/ip4/0.0.0.0/tcp/4001,/ip4/0.0.0.0/udp/4001/quic-v1",
	"SWARM_KEY":             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	"SWARM_ALLOW_PEERS":     "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
	"SHARE_HOSTS":           "mirror.lan",
	"SWARM_MODE":            "client",
	"SWARM_LOCAL":           "off",
	"BOOTSTRAP":             "http://other-box.example.org:3142,boxes.example.org",
	"ANNOUNCE_ADDRS":        "/ip4/192.0.2.5/tcp/4001",
	"IDENTITY_FILE":         "/etc/millpond/identity.key",
	"UPLOAD_RATE":           "20MB/s",
	"RINGS":                 "canary; prod after=canary delay=3d security=now clients=10.1.0.0/16",
	"ADMIN_TOKEN":           "a-long-random-word",
	"PRIVACY":               "no-client-names,no-packages-per-client,days=90",
	"LOG_LEVEL":             "debug",
	"ACCESS_LOG":            "/var/log/millpond/access.log",
	"LOG_FORMAT":            "json",
}

// TestManualSettings keeps the manual's page of settings. After a change of Config:
//
//	go test ./appliance -run TestManualSettings -update
func TestManualSettings(t *testing.T) {
	const file, begin, end = "../docs/settings.md", "<!-- settings -->\n", "<!-- /settings -->\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	list, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s and %s", file, begin, end)
	}
	want := manualSettings(settings())
	if list == want {
		return
	}
	if !*update {
		t.Fatalf("the settings in %s differ from Config; run `go test ./appliance -run TestManualSettings -update`. Want:\n%s", file, want)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The box takes each example, and each setting has one that is not its default.
func TestSettingExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	examples(t)
	for _, s := range settings() {
		name := strings.TrimPrefix(s.Name, prefix)
		example, ok := settingExamples[name]
		if !ok || example == s.Default {
			t.Errorf("%s has no example", s.Name)
			continue
		}
		environ := []string{s.Name + "=" + example}
		if name == "UPSTREAM_PROXY_EXCEPT" {
			environ = append(environ, "MILLPOND_UPSTREAM_PROXY="+settingExamples["UPSTREAM_PROXY"])
		}
		if _, err := parseConfig(environ); err != nil {
			t.Errorf("the example of %s: %v", s.Name, err)
		}
	}
	for name := range settingExamples {
		if !slices.ContainsFunc(settings(), func(s setting) bool { return s.Name == prefix+name }) {
			t.Errorf("there is an example of %s, which is no setting", name)
		}
	}
}

// The manual has each command in its table, with its exit codes.
func TestManualCommands(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/using/page.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range commands() {
		if !regexp.MustCompile("(?m)^\\| .*`millpond " + regexp.QuoteMeta(cmd.name) + "[ `]").Match(b) {
			t.Errorf("docs/using/page.md does not list millpond %s", cmd.name)
		}
	}
	for code := range exitDegraded + 1 {
		if !strings.Contains(string(b), fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("docs/using/page.md does not say what exit code %d means", code)
		}
	}
}

// examples writes the files that the examples name into the working directory.
func examples(t *testing.T) {
	t.Helper()
	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key, "auth.conf": []byte("machine archive.example.org/private/ login name password word\n")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// manualSettings writes a section for each setting, with its example.
func manualSettings(all []setting) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "### %s\n\n%s.\n\n", s.Name, strings.ToUpper(s.Help[:1])+s.Help[1:])
		def := "It is not set by default."
		if s.Default != "" {
			def = "The default is `" + s.Default + "`."
		}
		if s.inFile() {
			def += " `" + s.Name + fromFile + "` takes it from a file."
		}
		example := settingExamples[strings.TrimPrefix(s.Name, prefix)]
		if strings.ContainsAny(example, " ;*|") {
			example = `"` + example + `"`
		}
		fmt.Fprintf(&b, "Takes: %s. %s\n\n```\n%s=%s\n```\n\n", s.Takes, def, s.Name, example)
	}
	return b.String()
}
