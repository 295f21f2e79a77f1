package deb

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestMachine(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil || runtime.GOARCH == "arm" || runtime.GOARCH == "386" { // run by a machine of another architecture
		t.Skip("no dpkg of this architecture")
	}
	if got, want := Machine(), strings.TrimSpace(string(out)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
