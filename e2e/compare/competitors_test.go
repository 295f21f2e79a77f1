package compare

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// startNginx runs nginx as a cache before the server at upstream, which is the only one that
// it has: nginx knows no host in a path. It is set up for speed; what is in dists/ it asks
// again for as often as a box does.
func startNginx(tb testing.TB, upstream string) subject {
	tb.Helper()
	addr, dir := freeAddr(tb), tb.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	write(tb, conf, fmt.Sprintf(`
daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile 20000;
pid %[1]s/nginx.pid;
error_log stderr;
events { worker_connections 8192; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	open_file_cache max=10000 inactive=60s;
	open_file_cache_valid 60s;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/temp;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache levels=1:2 keys_zone=archive:64m max_size=20g inactive=1d use_temp_path=off;
	upstream mirror {
		server %[3]s;
		keepalive 64;
	}
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	proxy_set_header Host %[3]s;
	proxy_cache archive;
	proxy_cache_lock on;
	proxy_cache_revalidate on;
	proxy_cache_use_stale updating;
	server {
		listen %[2]s;
		location /%[3]s/ {
			proxy_pass http://mirror/;
			proxy_cache_valid 200 1d;
		}
		location /%[3]s/debian/dists/ {
			proxy_pass http://mirror/debian/dists/;
			proxy_cache_valid 200 30s;
		}
	}
}
`, dir, addr, upstream))
	return start(tb, "nginx", addr, program(tb, "nginx"), "-p", dir, "-e", "stderr", "-c", conf)
}

// startACNG runs apt-cacher-ng with the Debian package's settings, but for
// what keeps it to itself.
func startACNG(tb testing.TB) subject {
	tb.Helper()
	addr, dir := freeAddr(tb), tb.TempDir()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, filepath.Join(dir, "acng.conf"), fmt.Sprintf(`
CacheDir: %[1]s/cache
LogDir: %[1]s/log
SupportDir: /usr/lib/apt-cacher-ng
BindAddress: %[2]s
Port: %[3]s
SocketPath: %[1]s/socket
ReportPage: acng-report.html
ExThreshold: 4
FollowIndexFileRemoval: 1
AllowUserPorts: 0
ForeGround: 1
`, dir, host, port))
	return start(tb, "apt-cacher-ng", addr, program(tb, "apt-cacher-ng"), "-c", dir)
}

// startSquid runs squid as an accelerator of the server at upstream, with a directory that
// all fits in and otherwise the Debian package's settings.
func startSquid(tb testing.TB, upstream string) subject {
	tb.Helper()
	addr, dir := freeAddr(tb), tb.TempDir()
	host, port, err := net.SplitHostPort(upstream)
	if err != nil {
		tb.Fatal(err)
	}
	conf, cache := filepath.Join(dir, "squid.conf"), filepath.Join(dir, "cache")
	if err := os.Mkdir(cache, 0o755); err != nil {
		tb.Fatal(err)
	}
	giveToProxy(tb, dir, cache)
	write(tb, conf, fmt.Sprintf(`
http_port %[1]s accel defaultsite=%[2]s no-vhost
cache_peer %[3]s parent %[4]s 0 no-query no-digest originserver name=mirror
http_access allow all
maximum_object_size 4 GB
cache_dir aufs %[5]s 30000 16 256
refresh_pattern . 1440 100%% 1440
access_log none
cache_log /dev/null
cache_store_log none
visible_hostname squid
pid_filename none
pinger_enable off
netdb_filename none
cache_effective_user proxy
shutdown_lifetime 0 seconds
max_filedescriptors 20000
`, addr, upstream, host, port, cache))
	path := program(tb, "squid")
	if out, err := exec.CommandContext(tb.Context(), path, "-N", "-z", "-f", conf).CombinedOutput(); err != nil {
		tb.Fatalf("squid -z: %v\n%s", err, out)
	}
	s := start(tb, "squid", addr, path, "-N", "-f", conf)
	s.sole = true
	return s
}

// giveToProxy lets the user that squid becomes, if root starts it, reach dir and have cache.
func giveToProxy(tb testing.TB, dir, cache string) {
	tb.Helper()
	if os.Geteuid() != 0 {
		return
	}
	proxy, err := user.Lookup("proxy")
	if err != nil {
		tb.Fatal(err)
	}
	uid, err := strconv.Atoi(proxy.Uid)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chown(cache, uid, -1); err != nil {
		tb.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} { // the test's own, which MkdirTemp closed
		if err := os.Chmod(d, 0o711); err != nil {
			tb.Fatal(err)
		}
	}
}
