package container

import (
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/nameserver"
	"millpond/internal/aptest"
)

// TestByName has a stock Debian container, on a network whose DNS names the box, get its
// packages from there without a setting.
func TestByName(t *testing.T) {
	const named = "archive.example.org"
	s := newSite(t, nil)
	deb := s.archive.Add(aptest.Package{Name: "tool", Version: "1.0", Size: 1 << 20})
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{Listen: docker.Host + ":80"})
	mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	nameserver.Serve(t, docker.Host, nameserver.Zone{Addresses: map[string]string{named: docker.Host}})

	network := must(t, "network", "create", "by-name")
	t.Cleanup(func() { must(t, "network", "rm", network) })
	// The engine's DNS has an alias for all containers of the network.
	b := s.run(image, "--network", network, "--network-alias", named, "-e", "MILLPOND_LISTEN=:3142,:80,:443",
		"-e", "MILLPOND_HOSTS="+named, "-e", "MILLPOND_RESOLVER="+docker.Host, "-e", "MILLPOND_ALLOW_UPSTREAMS="+docker.Host)
	for range 2 {
		stock := newGuest(t, "--network", network, "-v", s.keys+":/keys:ro")
		stock.sh("rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/sources.list.d/*; " +
			"echo 'deb [signed-by=/keys/archive.gpg] http://" + named + "/debian stable main' > /etc/apt/sources.list")
		stock.sh("apt-get update --error-on=any; apt-get install -y tool; dpkg --status tool")
	}
	size := int64(len(deb.Data))
	if served := b.summary().ClientBytes; served < 2*size {
		t.Errorf("the box served %d bytes to two clients that installed a package of %d", served, size)
	}
	if sent := mirror.BytesSent("*.deb"); sent != size {
		t.Errorf("the mirror sent %d bytes of a package of %d", sent, size)
	}
	for _, r := range mirror.Log() {
		if !strings.HasPrefix(r.UserAgent, "millpond") {
			t.Errorf("%s %s went past the box (%s)", r.Method, r.Path, r.UserAgent)
		}
	}
}
