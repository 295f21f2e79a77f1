package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/mirror"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	key := strings.Repeat("0f", 32)
	logins, badLogins := filepath.Join(dir, "auth.conf"), filepath.Join(dir, "bad.conf")
	for name, text := range map[string]string{
		logins:    "machine archive.example.org\nlogin bob\npassword hunter2\n",
		badLogins: "\nmachine archive.example.org hunter2\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, certFile, keyFile := writeCertificate(t, dir)
	const id = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
	// For each setting: values, each with the field it gives, and bad values,
	// each with a word of the reason.
	tests := []struct {
		name string
		good map[string]string
		bad  map[string]string
	}{
		{"LISTEN",
			map[string]string{"": "[:3142]", ":80": "[:80]", "127.0.0.1:0": "[127.0.0.1:0]", "[::1]:3142, :80": "[[::1]:3142 :80]", "box.example.org:3142": "[box.example.org:3142]"},
			map[string]string{":80,:80": "twice", ",": "an empty list", ":80,443": "no port", "3142": "no port", ":": "no port", ":70000": "not a port", "::1:3142": "too many colons", "[::1]": "too many colons", "/run/box:80": "neither a name nor an address"}},
		{"DASHBOARD_LISTEN",
			map[string]string{"": "", "127.0.0.1:9090": "127.0.0.1:9090", "[fd00::1]:9090": "[fd00::1]:9090"},
			map[string]string{"9090": "no port", "localhost:-1": "not a port"}},
		{"DASHBOARD_ACCESS", map[string]string{"": "[]", "apt.example.org, 10.0.0.0/8,token:0123456789ab": "[apt.example.org 10.0.0.0/8 token:0123456789ab]"}, nil},
		{"DATA_DIR", map[string]string{"": "data", "/var/lib/millpond": "/var/lib/millpond"}, nil},
		{"CACHE_SIZE",
			map[string]string{"": "{0 50}", "200GB": "{200000000000 0}", "200G": "{200000000000 0}", "1.5TiB": "{1649267441664 0}", "1.5T": "{1500000000000 0}", "80%": "{0 80}"},
			map[string]string{"lots": "not a number", "200": "no unit", "0": "no unit", "200MiBs": "unknown unit", "63MB": "less than 64MB", "120%": "100%", "-5GB": "not a number", "5 apples": "unknown unit"}},
		{"INDEX_TTL",
			map[string]string{"": "1m0s", "0s": "0s", "24h": "24h0m0s"},
			map[string]string{"60": "its unit", "soon": "not a duration", "-1s": "between 0 and 24h", "25h": "between 0 and 24h"}},
		{"KEYRING_DIR",
			map[string]string{"": "[]", dir: "[" + dir + "]", dir + ", " + dir + ",": "[" + dir + " " + dir + "]"},
			map[string]string{file: "not a directory", filepath.Join(dir, "none"): "no such file"}},
		{"TRUST_HOSTS",
			map[string]string{"": "[]", "a.example.org, b.example.org:8080": "[a.example.org b.example.org:8080]", "[fd00::1]": "[[fd00::1]]"},
			map[string]string{"http://a.example.org": "host", "a.example.org/debian": "host", "a b": "host"}},
		{"ALLOW_CLIENTS",
			map[string]string{
				"": "[]", "10.0.0.0/8": "[10.0.0.0/8]", "10.1.2.3": "[10.1.2.3/32]", "fd00::/8, 2001:db8::1": "[fd00::/8 2001:db8::1/128]",
				"::ffff:10.1.2.3": "[10.1.2.3/32]", "0.0.0.0/0,::/0": "[0.0.0.0/0 ::/0]"},
			map[string]string{
				"10.1.2.3/8": "the range is 10.0.0.0/8", "10.0.0.0/33": "neither an address nor a range", "client.example.org": "neither an address nor a range",
				"::ffff:10.0.0.0/104": "write it as IPv4", ",": "shut out everybody"}},
		{"TLS_CERT",
			map[string]string{"": "[]", pair: "[" + pair + "]", certFile + ", " + keyFile: "[" + certFile + " " + keyFile + "]"},
			map[string]string{certFile: "rather than a key", keyFile: "failed to find", filepath.Join(dir, "none"): "no such file", dir: "is a directory"}},
		{"TRUSTED_PROXIES",
			map[string]string{"": "[]", ",": "[]", "10.1.2.3, fd00::/8": "[10.1.2.3/32 fd00::/8]"},
			map[string]string{"proxy": "neither an address nor a range", "0.0.0.0/0": "pass for anyone", "10.1.2.3/8": "the range is 10.0.0.0/8"}},
		{"ALLOW_UPSTREAMS",
			map[string]string{"": "[]", "mirror.example.net, 10.0.0.0/8,[fd00::1]:8080": "[mirror.example.net 10.0.0.0/8 [fd00::1]:8080]", "fd00::1": "[fd00::1]", "downloads.example.org/*": "[downloads.example.org/*]"},
			map[string]string{"http://mirror.example.net": "mirror.example.net", "10.1.2.3/8": "10.0.0.0/8", "mirror.example.net:http": "mirror.example.net:http"}},
		{"UPSTREAM_PROXY",
			map[string]string{"": "", "http://bob:hunter2@proxy.example.net:3128": "http://bob:hunter2@proxy.example.net:3128", "https://[fd00::1]:3128/": "https://[fd00::1]:3128/"},
			nil},
		{"UPSTREAM_PROXY_EXCEPT",
			map[string]string{"": "[]", "nas, *.lan.example.net:8080,10.0.0.0/8": "[nas *.lan.example.net:8080 10.0.0.0/8]"},
			map[string]string{"http://nas": "without the scheme", "10.1.2.3/8": "10.0.0.0/8", "nas/debian": "a path"}},
		{"AUTH_FILE", map[string]string{"": "", logins: logins},
			map[string]string{badLogins: "line 2", filepath.Join(dir, "none"): "no such file", dir: "is a directory"}},
		{"ONLY_ARCHIVES",
			map[string]string{"": "[]", "archive.example.org/debian, *.example.net,[fd00::1]:8080": "[archive.example.org/debian *.example.net [fd00::1]:8080]"},
			map[string]string{"http://archive.example.org": "without the scheme", "10.0.0.0/8": "a range", "archive.example.org/*": "wildcard"}},
		{"MIRRORS",
			map[string]string{"": "[]", "http://archive.example.org/debian=http://10.1.2.3:8080/debian|https://b.example": "[http://archive.example.org/debian=http://10.1.2.3:8080/debian|https://b.example]"},
			map[string]string{
				"http://archive.example.org/debian": "its mirrors' URLs", "archive.example.org=http://a.example": "want http://host/directory",
				"http://a.example=http://a.example|": "want http://host/directory", "http://a.example=http://b.example|http://B.example:80/": "twice",
				"http://a.example=http://b.example,http://A.example/=http://c.example": "has an entry already", "http://a.example=http://b.example/?x": "without a query",
			}},
		{"FOLLOW",
			map[string]string{
				"": "[]", "http://archive.example.org/debian bookworm main amd64,source": "[http://archive.example.org/debian bookworm main amd64,source]",
				"http://a.example/x/ a,b main arm64 depth=all; http://b.example/ ./ amd64\nhttp://c.example s m amd64 section:admin": "[http://a.example/x a,b main arm64 depth=all http://b.example/ ./ amd64 http://c.example/ s m amd64 section:admin]"},
			map[string]string{
				"http://archive.example.org/debian bookworm": "fields", "bookworm main amd64": "no archive's URL", "http://a.example s m amd64 depth=some; http://b.example ./ m amd64": "has no components",
				"http://a.example s m amd64 list:packages": "absolute path"}},
		{"HOSTS",
			map[string]string{"": "[]", "default": "[default]", "archive.example.org, *.example.net,default": "[archive.example.org *.example.net default]"},
			map[string]string{"yes": "without a dot", "10.1.2.3": "an address", "10.0.0.0/8": "an address", "archive.example.org:80": "a port", "http://archive.example.org": "without the scheme", "archive.example.org/debian": "a path"}},
		{"RESOLVER",
			map[string]string{"": "[]", "192.0.2.53, [2001:db8::53]:5353": "[192.0.2.53 [2001:db8::53]:5353]"},
			map[string]string{"dns.example.org": "address of a DNS server", "192.0.2.53:dns": "address of a DNS server", "10.0.0.1,10.0.0.1": "twice"}},
		{"TUNNELS",
			map[string]string{"": "true", "false": "false", "0": "false", "No": "false", "ON": "true", "download.example.org, *.example.net:8443": "download.example.org,*.example.net:8443"},
			map[string]string{"none": "want true, false", "off,on": "want true, false", ",": "an empty list", "https://download.example.org": "without the scheme", "download.example.org/x": "a path", "10.0.0.0/8": "a range"}},
		{"PRIVACY",
			map[string]string{
				"": "{false false false 0}", "no-client-names, days=90": "{true false false 90}",
				"no-packages-per-client": "{false true false 0}", "no-clients": "{true true true 0}"},
			map[string]string{
				"no-names": "no such word", "days=0": "from 1 to 36500", "days=40000": "from 1 to 36500", "days=3m": "not a number of days",
				"days=1,days=2": "days twice", "days": "no such word"}},
		{"OFFLINE",
			map[string]string{"": "false", "true": "true", "Yes": "true", "ON": "true", "1": "true", "no": "false", "Off": "false", "0": "false", "FALSE": "false"},
			map[string]string{"maybe": "neither true nor false", "2": "neither true nor false"}},
		{"SWARM", map[string]string{"": "true", "false": "false", "off": "false"}, map[string]string{"never": "neither true nor false"}},
		{"SWARM_LISTEN",
			map[string]string{"": "[/ip4/0.0.0.0/tcp/4001 /ip6/::/tcp/4001]", "/ip4/127.0.0.1/tcp/0": "[/ip4/127.0.0.1/tcp/0]"},
			map[string]string{":4001": "multiaddr", "/ip4/1.2.3/tcp/1": "1.2.3"}},
		{"SWARM_KEY", map[string]string{"": "", key: key}, nil},
		{"SWARM_ALLOW_PEERS", map[string]string{"": "[]", id + ", " + id: "[" + id + " " + id + "]"}, map[string]string{"me": "peer"}},
		{"SHARE_HOSTS",
			map[string]string{"": "[]", "apt, *.example.net:8080,10.0.0.0/8": "[apt *.example.net:8080 10.0.0.0/8]"},
			map[string]string{"http://apt": "without the scheme", "10.1.2.3/8": "10.0.0.0/8", "apt/debian": "a path"}},
		{"SWARM_MODE", map[string]string{"": "auto", "client": "client"}, map[string]string{"master": "no such mode"}},
		{"SWARM_LOCAL", map[string]string{"": "true", "false": "false", "no": "false"}, map[string]string{"x": "neither true nor false"}},
		{"BOOTSTRAP",
			map[string]string{"": "[]", "boxes.example.org,http://10.0.0.1:3142,/ip4/10.0.0.1/tcp/4001/p2p/" + id: "[boxes.example.org http://10.0.0.1:3142 /ip4/10.0.0.1/tcp/4001/p2p/" + id + "]"},
			map[string]string{"/ip4/10.0.0": "10.0.0", "ftp://10.0.0.1": "ftp"}},
		{"ANNOUNCE_ADDRS", map[string]string{"": "[]", "/dns4/box.example.org/tcp/4001,/ip4/192.0.2.5/tcp/80/http": "[/dns4/box.example.org/tcp/4001 /ip4/192.0.2.5/tcp/80/http]"},
			map[string]string{"box.example.org": "multiaddr", "/dns4/box.example.org/tcp/80/http": "clients cannot use"}},
		{"IDENTITY_FILE", map[string]string{"": "", "/run/secrets/identity": "/run/secrets/identity"}, nil},
		{"UPLOAD_RATE", map[string]string{"": "{0 false}", "0": "{0 true}", "off": "{0 true}", "20MB": "{20000000 true}", "20M/s": "{20000000 true}"},
			map[string]string{"10%": "this is in bytes", "fast": "not a number", "20": "no unit", "5B/s": "less than 1kB"}},
		{"MIRROR_RATE",
			map[string]string{
				"": day("0 24"), "0": day("0 24"), "20MB/s": day("20 24"), "20MB": day("20 24"), ",": day("0 24"),
				"20MB/s@08-18": day("0 8, 20 10, 0 6"), "20MB/s@8-18, 5MB/s@18-20,1MB/s": day("1 8, 20 10, 5 2, 1 4"),
				"1MB/s@22-06,0@06-07": day("1 6, 0 16, 1 2"), "3MB@00-01,4MB@23-24": day("3 1, 0 22, 4 1"), "2MB@20-00": day("0 20, 2 4"), "5MB/s,0@12-13": day("5 12, 0 1, 5 11"),
			},
			map[string]string{
				"10%": "this is in bytes", "fast": "not a number", "20": "no unit", "20MB/h": "unknown unit", "20MB/s@": "hours like", "20MB/s@8": "hours like", "20MB/s@08:00-18:00": "hours like",
				"20MB/s@-1-5": "hours like", "20MB/s@24-5": "hours like", "20MB/s@5-25": "hours like", "20MB/s@5-5": "rate without hours", "20MB/s@0-24": "rate without hours",
				"1MB@08-18,2MB@17-20": "another rate for 17-18", "1MB@22-06,2MB@05-07": "another rate for 05-06", "1MB,2MB": "another rate without hours", "@08-18": "not a number",
			}},
		{"PREFETCH", map[string]string{"": "10000000000", "0": "0", "false": "0", "No": "0", "20GB": "20000000000", "1.5TiB": "1649267441664"},
			map[string]string{"10%": "is a share", "true": "not a number", "much": "not a number", "-1GB": "not a number", "10": "no unit", "1kB": "less than 1MB"}},
		{"RINGS",
			map[string]string{
				"": "[]", "canary; prod after=canary delay=3d security=now clients=10.1.0.0/16,10.2.3.4": "[{canary  0s false []} {prod canary 72h0m0s true [10.1.0.0/16 10.2.3.4/32]}]",
			},
			map[string]string{
				"Prod": "lower-case", "prod after=canary": "no ring", "prod delay=x": "write 3d", "prod fast": "none of after=RING",
				"prod security=later": "security=now", "prod clients=10.1.2.3/16": "neither an address nor a range", "a; a": "two of this name", "a delay=29d": "at most 28 days",
			}},
		{"ACCESS_LOG", map[string]string{"": "", "-": "-", "stdout": "-", "/dev/stdout": "-", "off": "", "/var/log/millpond/../access.log": "/var/log/access.log"},
			map[string]string{"access.log": "absolute path", "true": "absolute path", "./x": "absolute path"}},
		{"ADMIN_TOKEN", map[string]string{"": "", "sixteen-letters!": "sixteen-letters!"}, nil},
		{"LOG_FORMAT", map[string]string{"": "text", "json": "json"}, map[string]string{"xml": "no such format"}},
		{"LOG_LEVEL", map[string]string{"": "INFO", "debug": "DEBUG", "ERROR": "ERROR"}, map[string]string{"loud": "loud"}},
	}
	var tested []string
	for _, tt := range tests {
		tested = append(tested, prefix+tt.name)
		t.Run(tt.name, func(t *testing.T) {
			for value, want := range tt.good {
				c, err := parseConfig([]string{prefix + tt.name + "=" + value})
				if err != nil {
					t.Errorf("%q: %v", value, err)
				} else if got := fieldOf(t, c, tt.name); got != want {
					t.Errorf("%q gives %s, want %s", value, got, want)
				}
			}
			for value, reason := range tt.bad {
				_, err := parseConfig([]string{prefix + tt.name + "=" + value})
				if err == nil {
					t.Errorf("%q is taken", value)
					continue
				}
				for _, part := range []string{prefix + tt.name + "=", fmt.Sprintf("%q", value), ": takes ", reason} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the fault of %q does not say %q: %v", value, part, err)
					}
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("the fault of %q has more than a line: %v", value, err)
				}
			}
		})
	}
	for _, s := range settings() {
		if !slices.Contains(tested, s.Name) {
			t.Errorf("%s is not tested", s.Name)
		}
		if s.Takes == "" || s.Help == "" {
			t.Errorf("%s is not documented", s.Name)
		}
	}
}

// A login in a setting that takes none is in no error.
func TestFaultsHideLogins(t *testing.T) {
	for name, want := range map[string]string{
		"MIRRORS": "MILLPOND_AUTH_FILE", "ONLY_ARCHIVES": "without the scheme", "ALLOW_UPSTREAMS": "without scheme", "UPSTREAM_PROXY_EXCEPT": "without the scheme", "SHARE_HOSTS": "without the scheme",
		"TUNNELS": "without the scheme", "UPSTREAM_PROXY": "not supported", "FOLLOW": "URL and suites are missing",
	} {
		for _, password := range []string{"hunter2", "hunter2/=x", "@hunter2@"} {
			url := "ftp://bob:" + password + "@b.example"
			if name == "MIRRORS" {
				url = "http://a.example=http://bob:" + password + "@b.example"
			}
			_, err := parseConfig([]string{prefix + name + "=" + url})
			if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "bob") {
				t.Errorf("%s: %v", name, err)
			} else if password == "hunter2" && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

// day is how rates print of which each is given, in MB, with its number of hours.
func day(parts string) string {
	var rates mirror.Rates
	h := 0
	for part := range strings.SplitSeq(parts, ", ") {
		var rate int64
		var hours int
		fmt.Sscan(part, &rate, &hours)
		for range hours {
			rates[h] = rate * 1e6
			h++
		}
	}
	return fmt.Sprint(rates)
}

// fieldOf prints the field of a setting.
func fieldOf(t *testing.T, c Config, name string) string {
	t.Helper()
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("env") == name {
			return fmt.Sprint(v.Field(i).Interface())
		}
	}
	t.Fatalf("no setting %s", name)
	return ""
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parseConfig([]string{
		"MILLPOND_LISTEN=3142", "MILLPOND_CACHE_SIZE=lots", "MILLPOND_INDEX_TTL=60", "MILLPOND_OFFLINE=maybe",
		"MILLPOND_ALLOW_CLIENTS=everybody", "MILLPOND_ALLOW_UPSTREAMS=http://a,ftp://b", "MILLPOND_DATADIR=/x", "PATH=/bin",
	})
	if err == nil {
		t.Fatal("no fault")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{
		"MILLPOND_ALLOW_CLIENTS=", "MILLPOND_ALLOW_UPSTREAMS=", "MILLPOND_ALLOW_UPSTREAMS=", "MILLPOND_CACHE_SIZE=",
		"MILLPOND_DATADIR:", "MILLPOND_INDEX_TTL=", "MILLPOND_LISTEN=", "MILLPOND_OFFLINE=",
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(lines), len(want), err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is %q, want one about %s", i, line, want[i])
		}
	}
}

// TestSecretsAreNotInFaults holds that the message about a setting does not repeat a
// secret, nor what a misspelt name may have been given.
func TestSecretsAreNotInFaults(t *testing.T) {
	t.Parallel()
	for variable, why := range map[string]string{
		"MILLPOND_UPSTREAM_PROXY=bob:hunter2@proxy:3128":          "MILLPOND_UPSTREAM_PROXY: takes http://host:port or https://host:port, with user:password@ before the host for a login: neither http://",
		"MILLPOND_UPSTREAM_PROXY=http://bob:hunter2/@proxy:3128":  "MILLPOND_UPSTREAM_PROXY: takes http://host:port",
		"MILLPOND_UPSTREAM_PROXY=socks5://bob:hunter2@proxy:1080": "other kinds of proxies are not supported",
		"MILLPOND_UPSTREAM=http://bob:hunter2@proxy:3128":         "MILLPOND_UPSTREAM: no such setting",
		"MILLPOND_SWARM_KEY=hunter2":                              "MILLPOND_SWARM_KEY: takes 64 hexadecimal digits",
	} {
		_, err := parseConfig([]string{variable})
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want one with %q", variable, err, why)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	tests := []struct {
		variable string
		refused  bool
	}{
		{"MILLPOND_DATADIR=/x", true},
		{"MILLPOND_DATADIR=", false}, // as good as not set
		{"MILLPOND_PORT=8080", true},
		{"MILLPOND_PORTS=tcp://10.0.0.1:3142", true},
		{"MILLPOND_LISTEN_PORT=8080", true},
		{"MILLPOND_SERVICES=x", true},
		{"MILLPOND_=x", true},
		{"millpond_datadir=/x", false},
		{"OTHER_MILLPOND_X=1", false},
		// For Services called millpond, millpond-swarm and site-millpond.
		{"MILLPOND_PORT=tcp://10.0.0.1:3142", false},
		{"MILLPOND_PORT_3142_TCP=tcp://10.0.0.1:3142", false},
		{"MILLPOND_PORT_3142_TCP_PROTO=tcp", false},
		{"MILLPOND_PORT_3142_TCP_PORT=3142", false},
		{"MILLPOND_PORT_3142_TCP_ADDR=10.0.0.1", false},
		{"MILLPOND_SERVICE_HOST=10.0.0.1", false},
		{"MILLPOND_SERVICE_PORT=3142", false},
		{"MILLPOND_SERVICE_PORT_HTTP=3142", false},
		{"MILLPOND_SWARM_SERVICE_HOST=10.0.0.1", false},
		{"MILLPOND_SWARM_PORT=tcp://10.0.0.1:4001", false},
		{"MILLPOND_SWARM_PORT_4001_UDP_ADDR=10.0.0.1", false},
		// Settings of parts to come.
		{"MILLPOND_SWARM_LISTEN=/ip4/0.0.0.0/tcp/4001", false},
		{"MILLPOND_ADMIN_TOKEN=correct-horse-battery-staple", false},
	}
	for _, tt := range tests {
		_, err := parseConfig([]string{tt.variable})
		if (err != nil) != tt.refused {
			t.Errorf("%s: refused %v (%v), want %v", tt.variable, err != nil, err, tt.refused)
		}
		if name, _, _ := strings.Cut(tt.variable, "="); err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("the fault of %s does not name it: %v", name, err)
		}
	}
}

// writeCertificate writes a certificate and its key into dir, together and apart.
func writeCertificate(t *testing.T, dir string) (pair, certFile, keyFile string) {
	t.Helper()
	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	pair, certFile, keyFile = filepath.Join(dir, "pair.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, text := range map[string][]byte{pair: slices.Concat(key, cert), certFile: cert, keyFile: key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pair, certFile, keyFile
}
