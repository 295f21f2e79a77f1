// Package clients proves that others can generate clients of the API from its document,
// in Go and in TypeScript, and use them with a running box.
package clients

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/oapi-codegen/runtime" // the generated client needs it
)

const token = "a-long-random-word"

// start runs the built box until the end of the test, and returns its URL.
func start(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("MILLPOND_BINARY")
	if binary == "" {
		t.Fatal("MILLPOND_BINARY names no program; run the tests with `make e2e-clients`")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.Command(binary)
	cmd.Stderr = &out
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "MILLPOND_LISTEN=" + addr, "MILLPOND_DATA_DIR=" + t.TempDir(), "MILLPOND_CACHE_SIZE=1GB",
		"MILLPOND_SWARM=false", "MILLPOND_ADMIN_TOKEN=" + token,
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // Wait tells if it has ended before
		if err := cmd.Wait(); err != nil {
			t.Errorf("the box: %v\n%s", err, out.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if answer, err := http.Get("http://" + addr + "/healthz"); err == nil {
			answer.Body.Close()
			return "http://" + addr
		}
		if time.Now().After(deadline) {
			t.Fatal("the box does not answer")
		}
	}
}

// save writes what the box answers to a file.
func save(t *testing.T, url, file string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d, %v", url, answer.StatusCode, err)
	}
}

func run(t *testing.T, dir string, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

// copied is a directory with files of this one.
func copied(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestGo(t *testing.T) {
	t.Parallel()
	box := start(t)
	dir := copied(t, "go.mod", "go.sum", "testdata/go/main.go")
	document := filepath.Join(dir, "openapi.json")
	save(t, box+"/api/v1/openapi-3.0.json", document)
	if err := os.Mkdir(filepath.Join(dir, "millpond"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "millpond", "-o", "millpond/client.go", document)
	run(t, dir, "go", "vet", "./...")
	run(t, dir, "go", "run", ".", box, token)
}

func TestTypeScript(t *testing.T) {
	t.Parallel()
	box := start(t)
	const from = "testdata/typescript/"
	dir := copied(t, from+"package.json", from+"package-lock.json", from+"tsconfig.json", from+"use.ts")
	save(t, box+"/api/v1/openapi.json", filepath.Join(dir, "openapi.json"))
	run(t, dir, "npm", "ci", "--no-audit", "--no-fund")
	run(t, dir, "npx", "openapi-typescript", "openapi.json", "-o", "millpond.ts")
	run(t, dir, "npx", "tsc")
	run(t, dir, "node", "out/use.js", box, token)
}
