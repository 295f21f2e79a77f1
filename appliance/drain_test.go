package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// A box that is told to drain is not ready any more, finishes the download under way,
// still serves a client that comes all the same, and the command ends after both.
func TestDrainCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 2_000_000, 10_000)
	p := spawn(t, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site"))
	base := s.Mirror.URL("/debian")
	c := newClient(t, p.url)
	c.update(t, s, base)
	stall := s.Mirror.Inject("*"+s.debs[0].Path, aptest.Stall(1_000_000))
	d := begin(t, c, base+"/"+s.debs[0].Path)
	d.reaches(t, 500_000)

	type ended struct {
		code           int
		stdout, stderr string
	}
	drained := make(chan ended, 1)
	go func() {
		code, stdout, stderr := program(t, []string{"MILLPOND_LISTEN=" + p.url[len("http://"):], "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site"}, "drain")
		drained <- ended{code, stdout, stderr}
	}()
	direct := newClient(t, "")
	for deadline := time.Now().Add(10 * time.Second); ; {
		resp, body := direct.get(t, http.MethodGet, p.url+"/readyz")
		if resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "drain") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s, readyz: %s %s", resp.Status, body)
		}
		time.Sleep(5 * time.Millisecond) // the other process gives no signal
	}
	other := newClient(t, p.url)
	other.want(t, base+"/"+s.debs[1].Path, s.debs[1].Data)
	select {
	case e := <-drained:
		t.Fatalf("the command ended in the middle of a download: %+v", e)
	case <-time.After(drainQuiet + time.Second): // it must still be waiting
	}
	box := []string{"MILLPOND_LISTEN=" + p.url[len("http://"):], "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site"}
	code, stdout, stderr := program(t, box, "drain", "1s", "1500ms")
	if code != exitFault || !strings.Contains(stdout, "still serves") || !strings.Contains(stderr, "1 downloads are under way after 1.5s") {
		t.Errorf("a command with a limit: exit code %d, %q, %q", code, stdout, stderr)
	}
	stall.Release()
	<-d.done
	if d.err != nil || !bytes.Equal(d.body, s.debs[0].Data) {
		t.Errorf("the download under way: %d bytes, %v", len(d.body), d.err)
	}
	if e := <-drained; e.code != exitOK || !strings.Contains(e.stdout, "1 downloads are under way") || !strings.Contains(e.stdout, "can be stopped") || e.stderr != "" {
		t.Errorf("the command: %+v", e)
	}
}

func TestDrainCommandFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	addr := start(t, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site")).Addr().String()
	for want, environ := range map[string][]string{
		"MILLPOND_ADMIN_TOKEN is not set": {"MILLPOND_LISTEN=" + addr},
		"needs the box's admin token":     {"MILLPOND_LISTEN=" + addr, "MILLPOND_ADMIN_TOKEN=another-token-than-its-own"},
		"no box answers":                  {"MILLPOND_LISTEN=127.0.0.1:1", "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site"},
	} {
		code, _, stderr := program(t, environ, "drain")
		if code != exitFault || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d and %q, want %d and %q", code, stderr, exitFault, want)
		}
	}
	// Who is about to stop the box gives others the time to go elsewhere all the same.
	begun := time.Now()
	code, _, _ := program(t, []string{"MILLPOND_LISTEN=" + addr, "MILLPOND_ADMIN_TOKEN=another-token-than-its-own"}, "drain", "1s", "5s")
	if took := time.Since(begun); code != exitFault || took < time.Second || took > 4*time.Second {
		t.Errorf("a command that was told 1s failed with exit code %d after %v", code, took)
	}
	resp, body := newClient(t, "").get(t, http.MethodGet, "http://"+addr+"/readyz")
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz: %s %s", resp.Status, body)
	}
}
