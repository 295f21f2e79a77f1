package compare

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
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
		{"millpond", strings.TrimSpace(strings.TrimPrefix(string(version), "millpond"))},
		{"Go", strings.TrimPrefix(runtime.Version(), "go")},
	}
	for _, p := range append([]string{"apt"}, compared...) {
		version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", p).Output()
		if err != nil {
			return nil, fmt.Errorf("the version of the package %s: %w", p, err)
		}
		facts = append(facts, fact{p, string(version)})
	}
	texts := make(map[string]string)
	for _, name := range []string{"sys/kernel/osrelease", "cpuinfo", "meminfo", "loadavg"} {
		text, err := os.ReadFile("/proc/" + name)
		if err != nil {
			return nil, err
		}
		texts[name] = string(text)
	}
	kB, err := strconv.ParseInt(strings.TrimSuffix(field(texts["meminfo"], "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the memory: %w", err)
	}
	return append(facts,
		fact{"kernel", strings.TrimSpace(texts["sys/kernel/osrelease"])},
		fact{"processor", field(texts["cpuinfo"], "model name")},
		fact{"cores", fmt.Sprint(runtime.NumCPU())},
		fact{"memory", fmt.Sprintf("%d GB", kB*1024/1e9)},
		fact{"load before, of 1, 5 and 15 minutes", strings.Join(strings.Fields(texts["loadavg"])[:3], ", ")},
	), nil
}

// field is the value of the first line of that name.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "not stated"
}
