package swarm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// private is a swarm with a private archive, s.mirror, and one at 127.0.0.2 that the
// first box counts as public.
type private struct {
	*swarm
	public   *aptest.Mirror
	packages []string // of the private archive
}

func newPrivate(t *testing.T) *private {
	t.Helper()
	packages := make(map[string]int)
	for i := range 12 {
		packages[fmt.Sprintf("secret%02d", i)] = 40_000
	}
	p := &private{swarm: newSwarm(t, packages), packages: names(packages)}
	p.public = aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	return p
}

// publish has the public mirror offer an archive.
func (p *private) publish(a *aptest.Archive) {
	p.public.Publish("/debian", a.Publish(time.Now().Add(-time.Hour)))
}

// install has a client of b, with the private archive and perhaps the public one,
// update and install packages.
func (p *private) install(b *box.Box, both bool, packages ...string) {
	p.t.Helper()
	c := p.client(b)
	sources := []string{p.mirror.Source("/debian", "stable", "main")}
	if both {
		sources = append(sources, p.public.Source("/debian", "stable", "main"))
	}
	c.Sources(sources...)
	if err := install(p.t.Context(), c, packages); err != nil {
		p.t.Fatal(err)
	}
}

// listed waits until the second box lists something of the first.
func (p *private) listed() {
	p.t.Helper()
	p.boxes[1].Until("the second box knows what the first one shares", func() bool {
		all := p.boxes[1].Peers()
		return len(all) == 1 && all[0].Held > 0
	})
}

// fromMirror is what the private mirror sends for packages while a client of the
// second box installs them all.
func (p *private) fromMirror() int64 {
	p.t.Helper()
	p.mirror.ResetLog()
	p.install(p.boxes[1], false, p.packages...)
	return p.mirror.BytesSent("*/pool/*")
}

// In an open swarm a private archive is as if it was not there: the second box, which
// does not count it as private and asks for all of it, gets none, nor has any
// fetched. Beside it a public archive is shared.
func TestPrivateArchiveInAnOpenSwarm(t *testing.T) {
	p := newPrivate(t)
	other := aptest.NewArchive(p.key)
	hello := other.Add(aptest.Package{Name: "hello", Version: "1.0", Size: 200_000})
	p.publish(other)
	p.add(1, "MILLPOND_SHARE_HOSTS=127.0.0.2")
	p.add(1, "MILLPOND_SHARE_HOSTS=127.0.0.0/8")
	first := p.boxes[0]
	p.install(first, true, slices.Concat(p.packages[:6], []string{"hello"})...)
	p.listed()
	taken := first.Summary().MirrorBytes

	p.mirror.ResetLog()
	p.public.ResetLog()
	p.install(p.boxes[1], true, slices.Concat(p.packages, []string{"hello"})...)
	for _, name := range p.packages {
		if p.mirror.BytesSent("*/"+name+"_*") == 0 {
			t.Errorf("the second box got %s from elsewhere than the private mirror", name)
		}
	}
	if sent := p.public.BytesSent("*/pool/*"); sent != 0 {
		t.Errorf("the public mirror sent %d bytes of what the first box holds", sent)
	}
	given := first.Summary().PeerBytesOut
	if indices := int64(20_000); given < int64(len(hello.Data)) || given > int64(len(hello.Data))+indices {
		t.Errorf("the first box gave %d bytes, want hello's %d and those of indices", given, len(hello.Data))
	}
	if now := first.Summary().MirrorBytes; now != taken {
		t.Errorf("the first box took %d bytes from mirrors for the second", now-taken)
	}
	cure := "MILLPOND_SHARE_HOSTS=" + p.mirror.Addr()
	if n := strings.Count(first.Log(), cure); n != 1 {
		t.Errorf("the log has %s %d times\n%s", cure, n, first.Log())
	}
	if suites := string(first.Get("/api/v1/suites")); !strings.Contains(suites, cure+" would share it") {
		t.Errorf("the page does not say why: %s", suites)
	}

	first.Stop()
	first.Run()
	p.connected()
	p.listed()
	if held := p.boxes[1].Peers()[0].Held; held > 6 { // hello and the indices beside it
		t.Errorf("after a restart the first box lists %d files", held)
	}
	if strings.Contains(first.Log(), cure) {
		t.Error("after a restart it is told again")
	}
}

// Among members a private archive is shared.
func TestPrivateArchiveAmongMembers(t *testing.T) {
	p := newPrivate(t)
	p.publish(aptest.NewArchive(p.key))
	key, err := box.Start(t).Command(t.Context(), "swarm-key")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "swarm.key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	p.add(2, "MILLPOND_SHARE_HOSTS=", "MILLPOND_SWARM_KEY_FILE="+file)
	p.install(p.boxes[0], false, p.packages...)
	p.inventory(p.boxes[0], 12)
	if sent := p.fromMirror(); sent != 0 {
		t.Errorf("the mirror sent %d bytes of what the first box holds", sent)
	}
}

// What a public archive lists, too, is shared, wherever it came from.
func TestPrivateArchiveThatIsPublicElsewhere(t *testing.T) {
	p := newPrivate(t)
	p.publish(p.archive)
	p.add(1, "MILLPOND_SHARE_HOSTS=127.0.0.2")
	p.add(1, "MILLPOND_SHARE_HOSTS=127.0.0.0/8")
	p.install(p.boxes[0], false, p.packages...)
	c := p.client(p.boxes[0])
	c.Sources(p.public.Source("/debian", "stable", "main"))
	c.MustApt("update", "--error-on=any")
	p.inventory(p.boxes[0], 12)
	if sent := p.fromMirror(); sent != 0 {
		t.Errorf("the mirror sent %d bytes of what the first box holds", sent)
	}
}
