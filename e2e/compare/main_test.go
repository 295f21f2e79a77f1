package compare

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
)

// roleVariable makes the test binary, run again, one of roles in place of the tests: a
// process of its own has processor time and memory of its own.
const roleVariable = "COMPARE_ROLE"

var roles = map[string]func(args []string) error{"bare": serveFiles}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		err := roles[role](os.Args[1:])
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveFiles is the bare net/http server: the least that a box written in Go could do.
func serveFiles(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	return http.Serve(l, http.FileServer(http.Dir(args[1])))
}

// startBare runs the bare server of the directory's files.
func startBare(tb testing.TB, dir string) subject {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Setenv(roleVariable, "bare")
	defer os.Unsetenv(roleVariable) // the others are no test binary
	addr := freeAddr(tb)
	s := start(tb, bare, addr, self, addr, dir)
	s.sole = true
	return s
}
