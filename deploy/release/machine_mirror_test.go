package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machineMirror is a mirror on the loopback device of a machine, and a client there.
type machineMirror struct {
	address string
	close   func()
	client  *http.Client
	// Of slowFile half is sent, which closes halfway, and the other half after goOn.
	halfway <-chan struct{}
	goOn    func()
}

// slowFile is one whose sender waits.
const slowFile = "/debian/pool/main/s/slow/slow_1.0-1_all.deb"

// contents are those of a file of the mirror.
func contents(file string) []byte { return bytes.Repeat([]byte(file), 20_000) }

// mirror starts a mirror in the machine's network, whose box listens on port 80.
func (m *machine) mirror(t *testing.T) *machineMirror {
	t.Helper()
	var l net.Listener
	if err := m.inNetwork(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:8080")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	halfway, more := make(chan struct{}), make(chan struct{})
	sent, goOn := sync.OnceFunc(func() { close(halfway) }), sync.OnceFunc(func() { close(more) })
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := contents(r.URL.Path)
		if r.URL.Path != slowFile {
			http.ServeContent(w, r, "", releaseTime, bytes.NewReader(data))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2]) // what fails is seen by the client
		_ = http.NewResponseController(w).Flush()
		sent()
		select {
		case <-more:
			_, _ = w.Write(data[len(data)/2:])
		case <-r.Context().Done():
		}
	}))
	_ = server.Listener.Close() // of this machine
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(goOn) // first, since the other one waits for answers
	return &machineMirror{address: l.Addr().String(), close: server.Close, halfway: halfway, goOn: goOn, client: &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:80"}), DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
				err = m.inNetwork(func() (err error) {
					c, err = (&net.Dialer{}).DialContext(ctx, network, address)
					return err
				})
				return c, err
			},
		},
	}}
}

// download gets a file through the box.
func (m *machineMirror) download(t *testing.T, file string) string {
	t.Helper()
	data, err := get(m.client, "http://"+m.address+file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// inNetwork runs do in the machine's network: sockets that it makes are there.
func (m *machine) inNetwork(do func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else gets it.
		runtime.LockOSThread()
		done <- func() error {
			ns, err := unix.Open("/proc/"+m.init+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(ns)
			if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
				return err
			}
			return do()
		}()
	}()
	return <-done
}
