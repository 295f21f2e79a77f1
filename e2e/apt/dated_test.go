package apt

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// politely is the least time between an answer of a dated archive and the box's next
// request, a second, but for what the clocks of both sides and the loopback make of it.
const politely = 900 * time.Millisecond

// pace watches how a mirror is asked.
type pace struct {
	mu    sync.Mutex
	times []time.Time // of requests
}

// watch watches the requests for files as they were; a redirect is followed at once.
func watch(m *aptest.Mirror) *pace {
	p := &pace{}
	m.OnRequest(func(r aptest.Request) {
		if !strings.HasPrefix(r.Path, "/archive/") {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.times = append(p.times, time.Now())
	})
	return p
}

// shortest is the least time between two requests.
func (p *pace) shortest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := time.Hour
	for i := 1; i < len(p.times); i++ {
		least = min(least, p.times[i].Sub(p.times[i-1]))
	}
	return least
}

// A dated archive, as that of Debian's snapshots, has what neither the box nor the mirror
// has of an earlier generation: below its URL, the time that the client asked for and the
// path in the archive. It is asked for that alone, one file after the other, with a second
// between them.
func TestDatedArchive(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	h := &history{site: &site{key: key, archive: aptest.NewArchive(key), mirror: aptest.NewMirror(t, aptest.MirrorOptions{Forget: true})}}
	dated := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	names := []string{"one", "two", "three", "four", "steady", "lost"}
	files := make(map[string]aptest.File) // in the first version
	publish := func(n int) {
		for _, name := range names {
			if n > 1 && name == "steady" {
				continue
			}
			h.archive.Remove(name)
			f := h.archive.Add(aptest.Package{Name: name, Version: fmt.Sprintf("1.%d-1", n), Arch: "amd64", Size: 10_000})
			if n == 1 {
				files[name] = f
			}
		}
		g := h.archive.Publish(time.Now().AddDate(0, 0, n-5))
		h.mirror.Publish("/debian", g)
		h.generations = append(h.generations, g)
	}
	publish(1)
	// As there, a time leads to the last one before it that there is, and a package to the
	// one place where it is.
	below := "/archive/debian/" + h.at(1) + "/"
	for _, name := range names {
		if name == "lost" {
			continue
		}
		place := "/file/" + digest.Of(files[name].Data).String()
		dated.Put(place, files[name].Data, h.generations[0].Time)
		dated.Inject(below+files[name].Path, aptest.Redirect(dated.URL(place)))
		dated.Put("/archive/debian/"+h.generations[0].Time.Format("20060102T150405Z")+"/"+files[name].Path, files[name].Data, h.generations[0].Time)
	}
	settings := h.settings(t, "MILLPOND_INDEX_TTL=0s", "MILLPOND_RINGS=prod delay=28d",
		"MILLPOND_FOLLOW="+h.mirror.URL("/debian")+" stable main amd64 depth=indices dated="+dated.URL("/archive/debian"))
	h.box = box.Start(t, append(settings, "MILLPOND_ALLOW_UPSTREAMS="+h.mirror.Addr()+","+dated.Addr())...)
	late := h.from(t, h.below("/ring/prod"))
	late.MustApt("update", "--error-on=any")
	first := h.from(t, h.below(""))
	first.MustApt("update", "--error-on=any")
	publish(2)
	first.MustApt("update", "--error-on=any")

	pace := watch(dated)
	get := func(c *aptest.Client, names ...string) {
		t.Helper()
		c.MustApt("update", "--error-on=any")
		c.MustApt(append([]string{"install", "--download-only"}, names...)...)
		for _, name := range names {
			if got, err := c.Downloaded(name + "_1.1-1_amd64.deb"); err != nil || digest.Of(got) != digest.Of(files[name].Data) {
				t.Errorf("%s is not what the archive had then (%v)", name, err)
			}
		}
	}
	get(h.from(t, h.below("/snapshot/"+h.at(1))), "one", "two", "three", "steady")
	for name, want := range map[string]int{"one": 1, "two": 1, "three": 1, "steady": 0} {
		if n := dated.Requests(below + files[name].Path); n != want {
			t.Errorf("the dated archive was asked for %s %d times, want %d", name, n, want)
		}
		if n := dated.Requests("/file/" + digest.Of(files[name].Data).String()); n != want {
			t.Errorf("the dated archive was asked for the bytes of %s %d times, want %d", name, n, want)
		}
	}
	if n := dated.Requests("*/dists/*"); n != 0 {
		t.Errorf("the dated archive was asked for %d lists", n)
	}
	// A ring's client gets it from the moment of the generation that the ring has.
	get(late, "four")
	if n := dated.Requests("/archive/debian/" + h.generations[0].Time.Format("20060102T150405Z") + "/*"); n != 1 {
		t.Errorf("the dated archive was asked %d times for a ring's client, want once: %v", n, dated.Log())
	}
	if least := pace.shortest(); least < politely {
		t.Errorf("the dated archive was asked twice within %v", least)
	}

	// The box has all of it now.
	dated.ResetLog()
	get(h.from(t, h.below("/snapshot/"+h.at(1))), "one", "two", "three", "four")
	if n := dated.Requests("*"); n != 0 {
		t.Errorf("the dated archive got %d requests for what the box holds", n)
	}

	// Nor is it asked for what is in force now.
	first.MustApt("install", "--download-only", "one")
	out, err := h.from(t, h.below("")).Apt(t.Context(), "update")
	if n := dated.Requests("*"); n != 0 || err != nil {
		t.Errorf("the dated archive got %d requests for the present (%v): %s", n, err, out)
	}

	// What it has not either is refused, and apt says why.
	c := h.from(t, h.below("/snapshot/"+h.at(1)))
	c.MustApt("update", "--error-on=any")
	if out, err = c.Apt(t.Context(), "install", "--download-only", "lost"); err == nil {
		t.Error("a file that nobody has was installed")
	}
	for _, want := range []string{"410", "nor does the dated archive: " + dated.URL(below+"pool/main/l/lost/lost_1.1-1_amd64.deb")} {
		if !strings.Contains(out, want) {
			t.Errorf("apt is not told %q: %s", want, out)
		}
	}
}
