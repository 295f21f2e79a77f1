package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// emulators are those that run programs for other machines, by Go's names of processors.
var emulators = map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64", "arm": "qemu-arm", "riscv64": "qemu-riscv64"}

// runs is the command line of a program, which an emulator runs where it is for another
// machine.
func runs(t *testing.T, to target, path string) []string {
	t.Helper()
	if to.goarch == runtime.GOARCH {
		return []string{path}
	}
	// Go preempts goroutines by signals, which crashes it under qemu-user now and then.
	t.Setenv("GODEBUG", "asyncpreemptoff=1")
	return []string{emulators[to.goarch], path}
}

// The programs for ARM run in the short form too, which makes a release for one machine.
func TestProgramsForARM(t *testing.T) {
	if !testing.Short() {
		t.Skip("TestTwoRunsAreTheSame runs the programs for all machines")
	}
	for _, to := range targets {
		if to.goarch != "arm" && to.goarch != "arm64" {
			continue
		}
		t.Run(to.debian, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "millpond")
			if err := compile(root(t), path, "devel", to); err != nil {
				t.Fatal(err)
			}
			serves(t, runs(t, to, path))
		})
	}
}

// serves starts a box, which gives a client a file of a mirror, gives it to another one
// while that mirror is away, and ends when it is told to.
func serves(t *testing.T, command []string) {
	file := bytes.Repeat([]byte("a package of some size\n"), 50_000)
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/debian/pool/main/h/hello/hello_1.0-1_all.deb" {
			http.ServeContent(w, r, "", releaseTime, bytes.NewReader(file))
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(mirror.Close)

	address := freeAddress(t)
	box := exec.Command(command[0], command[1:]...)
	box.Env = append(os.Environ(), "MILLPOND_DATA_DIR="+t.TempDir(), "MILLPOND_LISTEN="+address, "MILLPOND_SWARM=no",
		"MILLPOND_ALLOW_UPSTREAMS="+mirror.Listener.Addr().String(), "MILLPOND_CACHE_SIZE=1G")
	var log bytes.Buffer
	box.Stdout, box.Stderr = &log, &log
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- box.Wait() }()
	t.Cleanup(func() { _ = box.Process.Kill() }) // it may have ended

	// An emulator takes seconds to start.
	for deadline := time.Now().Add(2 * time.Minute); !ready(address); {
		select {
		case err := <-ended:
			t.Fatalf("the box ended: %v\n%s", err, &log)
		case <-time.After(100 * time.Millisecond): // the box gives no signal
		}
		if time.Now().After(deadline) {
			t.Fatal("the box is not ready after 2 minutes")
		}
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: address}), DisableKeepAlives: true,
	}}
	for range 2 {
		got, err := get(&client, mirror.URL+"/debian/pool/main/h/hello/hello_1.0-1_all.deb")
		if err != nil || sha256.Sum256(got) != sha256.Sum256(file) {
			t.Errorf("a client got %d bytes, want the file's %d, %v", len(got), len(file), err)
		}
		mirror.Close()
	}
	if err := box.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the box ended with %v\n%s", err, &log)
	}
}

// freeAddress is a port that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ready says whether a box is.
func ready(address string) bool {
	client := http.Client{Timeout: 10 * time.Second}
	_, err := get(&client, "http://"+address+"/readyz")
	return err == nil
}

// get is the body of an answer 200.
func get(client *http.Client, url string) ([]byte, error) {
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, data)
	}
	return data, err
}
