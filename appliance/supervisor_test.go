package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"millpond/internal/aptest"
)

// manager is a service manager's socket.
type manager struct {
	*net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{conn, path}
}

// hears returns the next message that is no sign of life, and how many of those came
// before it.
func (m *manager) hears(t *testing.T) (message string, alive int) {
	t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := m.Read(buf)
		if err != nil {
			t.Fatalf("nothing was told: %v", err)
		}
		if message = string(buf[:n]); message != "WATCHDOG=1" {
			return message, alive
		}
		alive++
	}
}

// A service manager is told when the box serves, when it reads files again, that it is
// alive, and when it stops.
func TestSupervisorIsTold(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	s := newSite(t, aptest.MirrorOptions{})
	const limit = 200 * time.Millisecond
	// The box asks itself although its machine may not use it.
	p := spawn(t, s.environ(t.TempDir(), "MILLPOND_ALLOW_CLIENTS=10.0.0.0/8", "NOTIFY_SOCKET="+m.path, fmt.Sprint("WATCHDOG_USEC=", limit.Microseconds())))
	if got, _ := m.hears(t); got != "READY=1" {
		t.Fatalf("first it was told %q", got)
	}
	if resp, _ := newClient(t, p.url).get(t, http.MethodGet, p.url+"/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("a box that says it is ready answers %s", resp.Status)
	}
	buf := make([]byte, 4096)
	for range 3 {
		if n, err := m.Read(buf); err != nil || string(buf[:n]) != "WATCHDOG=1" {
			t.Fatalf("instead of a sign of life %q, %v", buf[:n], err)
		}
	}
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.hears(t); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`).MatchString(got) {
		t.Errorf("on SIGHUP it was told %q", got)
	}
	if got, _ := m.hears(t); got != "READY=1" {
		t.Errorf("after SIGHUP it was told %q", got)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.hears(t); got != "STOPPING=1" {
		t.Errorf("on SIGTERM it was told %q", got)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// A box whose port takes connections and does not answer gives no sign of life, until it
// answers again.
func TestNoSignOfLifeWithoutAnAnswer(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	m := newManager(t)
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	defer stuck.Close()
	a := &Appliance{log: newLog(t), clients: []net.Listener{stuck.Listener}, config: Config{supervisor: supervisor{m.path, 200 * time.Millisecond}}}
	g, ctx := errgroup.WithContext(t.Context())
	g.Go(func() error { return a.watchdog(ctx) })
	for range 3 { // the third question comes after the first two have failed
		<-asked
	}
	if err := m.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := m.Read(buf); !os.IsTimeout(err) {
		t.Errorf("a box that does not answer told %q, %v", buf[:n], err)
	}
	close(answer)
	if err := m.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := m.Read(buf); err != nil || string(buf[:n]) != "WATCHDOG=1" {
		t.Errorf("a box that answers told %q, %v", buf[:n], err)
	}
	g.Go(func() error { return http.ErrServerClosed }) // ends ctx
	_ = g.Wait()                                       // that error
}

func TestSupervisorOf(t *testing.T) {
	t.Parallel()
	const second = "1000000"
	own := fmt.Sprint(os.Getpid())
	for _, test := range []struct {
		socket, limit, pid string
		want               time.Duration
		wrong              bool
	}{
		{"/run/x", second, "", time.Second, false},
		{"/run/x", second, own, time.Second, false},
		{"/run/x", second, own + "0", 0, false}, // another process is watched
		{"", second, own, 0, false},
		{"/run/x", "", "", 0, false},
		{"/run/x", "1s", "", 0, true},
		{"/run/x", "-1", "", 0, true},
		{"/run/x", "0", "", 0, true},
		{"/run/x", "9223372036854775807", "", 0, true},
	} {
		got, err := supervisorOf(map[string]string{"NOTIFY_SOCKET": test.socket, "WATCHDOG_USEC": test.limit, "WATCHDOG_PID": test.pid})
		if got.watchdog != test.want || got.socket != test.socket || (err != nil) != test.wrong {
			t.Errorf("%+v: %+v, %v", test, got, err)
		}
	}
	_, err := parseConfig([]string{"NOTIFY_SOCKET=/run/x", "WATCHDOG_USEC=soon"})
	if err == nil || !strings.Contains(err.Error(), "WatchdogSec") {
		t.Errorf("a wrong WATCHDOG_USEC gives %v", err)
	}
}

// A service manager that went away is a warning.
func TestSupervisorAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir(), "NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "none")))
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
}
