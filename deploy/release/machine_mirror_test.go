package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machineMirror is a mirror on the loopback device of a machine, and a client there.
type machineMirror struct {
	address string
	close   func()
	client  *http.Client
}

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
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", releaseTime, bytes.NewReader(bytes.Repeat([]byte(r.URL.Path), 20_000)))
	}))
	_ = server.Listener.Close() // of this machine
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return &machineMirror{address: l.Addr().String(), close: server.Close, client: &http.Client{
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
