// Package setup proves that clients find the box and are set up by its script:
// on a network segment of its own, with Debian's auto-apt-proxy, apt and dash.
// It needs root, for namespaces, and lists of packages (apt-get update).
package setup

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// inside tells the test binary that it runs in the namespaces.
const inside = "SETUP_TEST_INSIDE"

// TestSegment runs the tests below in a network and mount namespace, in which
// the box can have the port that it is looked for on, and /etc/apt is no
// longer that of this machine.
func TestSegment(t *testing.T) {
	if os.Getenv(inside) != "" {
		t.Run("auto-apt-proxy", autoAptProxy)
		t.Run("mDNS", mdns)
		t.Run("script", script)
		return
	}
	binary := os.Getenv("MILLPOND_BINARY")
	if binary == "" {
		t.Fatal("MILLPOND_BINARY names no program; run the tests with `make e2e-setup`")
	}
	unpacked := t.TempDir()
	// Not installed: this machine's own apt would ask for proxies with it.
	sh(t, `cd "$UNPACKED"; apt-get -q download auto-apt-proxy; dpkg-deb -x auto-apt-proxy_*.deb .`, "UNPACKED="+unpacked)
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--propagation", "private", "sh", "-euc", `
		ip link set lo up
		ip link add box type veth peer name client
		ip address add 10.77.0.1/24 dev box
		ip link set box up
		ip link set client up
		mount -t tmpfs none /etc/apt/apt.conf.d
		mount -t tmpfs none /usr/local/lib
		mount -t tmpfs none /var/cache
		mkdir -p /var/cache/apt/archives/partial
		"$1" & box=$!
		trap 'kill $box; wait $box' EXIT
		for i in $(seq 100); do "$1" healthcheck && break; sleep 0.1; done
		"$0" -test.run '^TestSegment$' -test.v`, os.Args[0], binary)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "AUTO_APT_PROXY=" + unpacked + "/usr/bin/auto-apt-proxy", inside + "=1", "MILLPOND_DATA_DIR=" + t.TempDir(), "MILLPOND_SWARM=false", "MILLPOND_CACHE_SIZE=1GB",
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSegment/script") {
		t.Errorf("%v\n%s", err, out)
	}
}

// sh runs a script and returns what it prints.
func sh(t *testing.T, script string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dash", "-euc", script)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

func autoAptProxy(t *testing.T) {
	if got := sh(t, `sh "$AUTO_APT_PROXY"`, "AUTO_APT_PROXY_NO_CACHE=1", "TMPDIR="+t.TempDir()); got != "http://127.0.0.1:3142" {
		t.Errorf("auto-apt-proxy found %q", got)
	}
}

// mdns asks the segment for apt proxies, as squid-deb-proxy-client has Avahi
// do it.
func mdns(t *testing.T) {
	segment, err := net.InterfaceByName("box")
	if err != nil {
		t.Fatal(err)
	}
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	conn, err := net.ListenMulticastUDP("udp4", segment, group)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 77, 0, 1)}, group)
	if err != nil {
		t.Fatal(err)
	}
	defer ask.Close()
	// One question: PTR, IN (RFC 6762, section 5).
	question := "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0a_apt_proxy\x04_tcp\x05local\x00\x00\x0c\x00\x01"
	if _, err := ask.Write([]byte(question)); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for b := make([]byte, 9000); ; {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("nobody answered: %v", err)
		}
		answer := string(b[:n])
		// A response with the service, port 3142 and the box's address in it.
		if n > 12 && b[2]&0x80 != 0 && strings.Contains(answer, "_apt_proxy") {
			for what, part := range map[string]string{"port": "\x0c\x46", "address": "\x0a\x4d\x00\x01"} {
				if !strings.Contains(answer, part) {
					t.Errorf("no %s in %q", what, answer)
				}
			}
			return
		}
	}
}

func script(t *testing.T) {
	const conf, probe, box = "/etc/apt/apt.conf.d/01millpond", "/usr/local/lib/millpond/apt-probe", "http://10.77.0.1:3142"
	saved := filepath.Join(t.TempDir(), "setup.sh")
	for _, how := range []string{
		"curl -fsS " + box + "/setup.sh | dash", "wget -qO- " + box + "/setup.sh | dash",
		"/usr/lib/apt/apt-helper download-file " + box + "/setup.sh " + saved + " >/dev/null && dash " + saved,
	} {
		if said := sh(t, how); !strings.Contains(said, "apt uses "+box) {
			t.Errorf("%s: %s", how, said)
		}
	}
	sh(t, "shellcheck "+saved+" "+probe)
	// A source that names the box goes there without a proxy.
	if said := sh(t, "apt-config dump Acquire::http::Proxy::10.77.0.1"); said != `Acquire::http::Proxy::10.77.0.1 "DIRECT";` {
		t.Errorf("apt read %q", said)
	}
	// apt itself asks the probe and goes to the box, which says that the
	// mirror cannot be reached.
	lists := filepath.Join(t.TempDir(), "lists")
	sh(t, "mkdir -p "+lists+"/partial; echo 'deb http://archive.invalid/debian stable main' >"+lists+".list")
	update := "apt-get -o Dir::Etc::SourceList=" + lists + ".list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=" + lists +
		" -o Acquire::Retries=0 update 2>&1 || true"
	if said := sh(t, update); !strings.Contains(said, "millpond: ") {
		t.Errorf("apt did not come to the box:\n%s", said)
	}
	// The probe needs what every image has.
	tools := t.TempDir()
	sh(t, "for t in bash timeout head; do ln -s $(command -v $t) "+tools+"; done")
	if said := sh(t, probe+" http://192.0.2.1/debian/", "PATH="+tools); said != box {
		t.Errorf("the probe with few tools says %q", said)
	}
	internalArchive(t)
	secondBox(t, saved)
	// Elsewhere, the address is that of nobody: packets to it are lost.
	sh(t, "ip address del 10.77.0.1/24 dev box; ip address add 10.77.0.2/24 dev box")
	for _, path := range []string{os.Getenv("PATH"), tools} {
		begun := time.Now()
		if said := sh(t, probe, "PATH="+path); said != "DIRECT" {
			t.Errorf("away from the box the probe says %q", said)
		}
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v to say so", took)
		}
	}
	sh(t, "dash "+saved+" --remove")
	for _, file := range []string{conf, probe, filepath.Dir(probe)} {
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", file, err)
		}
	}
}

// updateFrom has apt update its lists from an archive on an address.
func updateFrom(t *testing.T, address string) (said string, took time.Duration) {
	t.Helper()
	lists := filepath.Join(t.TempDir(), "lists")
	begun := time.Now()
	said = sh(t, "mkdir -p "+lists+"/partial; echo 'deb [trusted=yes] http://"+address+"/debian ./' >"+lists+".list; "+
		"apt-get -o Dir::Etc::SourceList="+lists+".list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="+lists+
		" -o Acquire::Retries=0 -o APT::Sandbox::User=root update 2>&1 || true")
	return said, time.Since(begun)
}

// internalArchive is one at an address that the box refuses: it works as it did before.
func internalArchive(t *testing.T) {
	sh(t, "ip address add 10.77.0.9/24 dev box")
	defer sh(t, "ip address del 10.77.0.9/24 dev box")
	l, err := net.Listen("tcp", "10.77.0.9:80")
	if err != nil {
		t.Fatal(err)
	}
	archive := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/Packages") {
			http.NotFound(w, r)
		}
	})}
	go archive.Serve(l)
	defer archive.Close()
	if said, _ := updateFrom(t, "10.77.0.9"); strings.Contains(said, "E:") || strings.Contains(said, "Err") || !strings.Contains(said, "http://10.77.0.9/debian") {
		t.Errorf("apt and an internal archive:\n%s", said)
	}
	// The test would be nothing if the box took it.
	if said := sh(t, "/usr/lib/apt/apt-helper -o Acquire::http::Proxy-Auto-Detect= -o Acquire::http::Proxy=http://10.77.0.1:3142 download-file http://10.77.0.9/debian/dists/a/InRelease "+
		filepath.Join(t.TempDir(), "file")+" 2>&1 || true"); !strings.Contains(said, "Refused by millpond") {
		t.Errorf("the box took an internal archive:\n%s", said)
	}
}

// secondBox has the first one die: apt goes to the second and loses less than two seconds.
func secondBox(t *testing.T, saved string) {
	_, usual := updateFrom(t, "192.0.2.1")
	sh(t, `sed "s/^box=.*/box='10.77.0.200:3142'/; s/^others=.*/others='10.77.0.201:3142 10.77.0.1:3142'/" `+saved+" >"+saved+".two; dash "+saved+".two")
	defer sh(t, "dash "+saved)
	said, took := updateFrom(t, "192.0.2.1")
	if !strings.Contains(said, "millpond: ") {
		t.Errorf("apt did not come to the second box:\n%s", said)
	}
	t.Logf("apt took %v with its box, %v with a dead one", usual, took)
	if took-usual > 2*time.Second {
		t.Errorf("apt took %v with its box, %v with a dead one", usual, took)
	}
}
