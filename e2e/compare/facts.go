package compare

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// fact is something about the machine or a program on it.
type fact struct{ name, value string }

// compared is what this compares and compares with, as Debian names it.
var compared = []string{"wrk", "nginx-light", "apt-cacher-ng", "squid"}

// gather looks up what the figures depend on. The machine's name and paths are not among it.
func gather(binary string) ([]fact, error) {
	if binary == "" {
		return nil, errors.New("MILLPOND_BINARY names no program; run `make bench`")
	}
	version, err := exec.Command(binary, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("the version of %s: %w", binary, err)
	}
	facts := []fact{
		{"date", time.Now().UTC().Format("2 January 2006")},
		{"millpond", strings.TrimSpace(string(version))},
		{"Go", strings.TrimPrefix(runtime.Version(), "go")},
	}
	for _, p := range append([]string{"apt"}, compared...) {
		version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", p).Output()
		if err != nil {
			return nil, fmt.Errorf("the version of the package %s: %w", p, err)
		}
		facts = append(facts, fact{p, string(version)})
	}
	machine := []struct{ name, file, field string }{
		{"kernel", "/proc/sys/kernel/osrelease", ""},
		{"processor", "/proc/cpuinfo", "model name"},
		{"memory", "/proc/meminfo", "MemTotal"},
		{"load before", "/proc/loadavg", ""},
	}
	for _, m := range machine {
		text, err := os.ReadFile(m.file)
		if err != nil {
			return nil, err
		}
		facts = append(facts, fact{m.name, field(string(text), m.field)})
	}
	return append(facts, fact{"cores", fmt.Sprint(runtime.NumCPU())}), nil
}

// field is the value of the first line of that name, or the first line without one.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if name == "" {
			return strings.TrimSpace(line)
		}
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "not stated"
}
