package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// checks are the commands that read a configuration of a kind, whose file's name follows.
var checks = map[string][]string{
	"preseed": {"debconf-set-selections", "--checkonly"},
	"rules":   {"promtool", "check", "rules"},
	"nginx":   {"nginx", "-t", "-q", "-e", "stderr", "-c"},
}

// around stands around a configuration that is a part of a file.
var around = map[string][2]string{"nginx": {"pid /dev/null; events {} http { access_log off;\n", "}\n"}}

// Configurations of other programs are ones that these take.
func TestConfigurations(t *testing.T) {
	seen := make(map[string]bool)
	for name, examples := range pages(t) {
		for _, e := range examples {
			command, ok := checks[e.kind]
			if !ok {
				continue
			}
			seen[e.kind] = true
			file := filepath.Join(t.TempDir(), "example")
			if err := os.WriteFile(file, []byte(around[e.kind][0]+e.code+around[e.kind][1]), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], file)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", name, command[0], err, out)
			}
		}
	}
	if len(seen) != len(checks) {
		t.Errorf("only blocks of these kinds were found: %v", seen)
	}
}

// commands is a block of commands, whether a test runs it or not.
var commands = regexp.MustCompile("(?ms)^[ ]*```sh\n(.*?)^[ ]*```$")

// alone is what shellcheck says of a setting that no command follows.
const alone = "SC2034"

// What cannot be run here is at least what a shell can read, and without common mistakes.
func TestShellSyntax(t *testing.T) {
	n := 0
	for name, text := range manual(t) {
		for _, m := range commands.FindAllStringSubmatch(text, -1) {
			n++
			file := filepath.Join(t.TempDir(), "commands")
			if err := os.WriteFile(file, []byte(m[1]), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "shellcheck", "--shell=sh", "--severity=warning", "--exclude="+alone, file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
	}
	if n < 25 {
		t.Errorf("only %d blocks were found", n)
	}
}
