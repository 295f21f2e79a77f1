package manual

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// block is a fenced block of a page, with the comment on the line before it.
var block = regexp.MustCompile("(?ms)(?:^<!-- ([^\n]+) -->\n)?^[ ]*```([a-z]*)\n(.*?)^[ ]*```$")

// command is a line that one would type.
var command = regexp.MustCompile(`(?m)^(\S+=\S+ )*(sudo |\./bin/)?(apt|apt-get|curl|docker|echo|gpg|helm|install|kubectl|make|millpond|openssl|runuser)( .*)?$`)

// runs are the kinds of blocks that e2e/manual runs.
var runs = []string{"run: box", "run: files", "run: root", "run: preseed", "run: rules", "run: nginx", "run: cloudinit", "run: ansible", "run: debos", "run: packer", "run: livebuild", "run: zone", "run: image", "run: start"}

// beside are the documents outside of docs/ that have commands.
var beside = []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "deploy/release/README.md", "deploy/helm/millpond/README.md"}

// Each block of commands, and of configuration in a language, is run by a test, or says which
// test runs the same or why none does.
func TestBlocksAreTested(t *testing.T) {
	seen := 0
	all := pages(t)
	for _, name := range beside {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	for name, text := range all {
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			mark, language, code := m[1], m[2], m[3]
			if language == "" { // it shows something
				if line := command.FindString(code); line != "" {
					t.Errorf("%s: a block without a language has the command %s", name, line)
				}
				continue
			}
			seen++
			reason, untested := strings.CutPrefix(mark, "not tested: ")
			syntax, half := strings.CutPrefix(mark, "not tested beyond its syntax: ")
			_, elsewhere := strings.CutPrefix(mark, "tested by: `")
			switch {
			case slices.Contains(runs, mark), elsewhere: // that the test exists, internal/floors checks
			case untested && len(reason) > 10, half && language == "yaml" && len(syntax) > 10:
			default:
				t.Errorf("%s: above a block of %s stands %q; want one of %q, \"tested by: `package.Test`\" or \"not tested: REASON\":\n%s", name, language, mark, runs, code)
			}
			if language == "yaml" {
				var v any
				if err := yaml.Unmarshal([]byte(code), &v); err != nil || v == nil {
					t.Errorf("%s: a block of YAML: %v\n%s", name, err, code)
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d blocks were found", seen)
	}
}

// Hosts of the manual are an example's, the box's or on this machine; a project is linked to
// in the text, not in a block.
func TestHostsOfBlocks(t *testing.T) {
	host := regexp.MustCompile(`https?://(?:[^/\s@"']*@)?([A-Za-z0-9.-]+)`)
	allowed := regexp.MustCompile(`^(BOX|HTTPS|[a-z0-9.-]*\.?example(\.org|\.net)?|127\.0\.0\.1|localhost|10\.[0-9.]+|box\.lan|millpond\.apt\.svc)$`)
	for name, text := range pages(t) {
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			for _, h := range host.FindAllStringSubmatch(m[3], -1) {
				if !allowed.MatchString(h[1]) {
					t.Errorf("%s has the host %s in a block", name, h[1])
				}
			}
		}
	}
}

// metricName is a metric of the box in a text.
var metricName = regexp.MustCompile(`\bmillpond_[a-z_]+`)

// A metric that the manual names is one of the table that the box's metrics make.
func TestMetricsExist(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		for _, metric := range metricName.FindAllString(text, -1) {
			if !strings.Contains(all["metrics.md"], "| `"+metric+"` |") && !strings.Contains(text, "(#"+metric+")") {
				t.Errorf("%s names the metric %s, which is not in the table of metrics.md", name, metric)
			}
		}
	}
}

// Compose is written as its current version is called.
func TestComposeSpelling(t *testing.T) {
	old := regexp.MustCompile(`docker-compose [a-z-]+`)
	for name, text := range pages(t) {
		if line := old.FindString(text); line != "" {
			t.Errorf("%s has %q; write docker compose", name, line)
		}
	}
}
