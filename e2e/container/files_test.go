package container

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// composeSpec is the loader of today's `docker compose`, as a program.
const composeSpec = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"

// TestComposeFiles has the loaders of old and new Compose read each file, and
// holds every box in them to the same confinement.
func TestComposeFiles(t *testing.T) {
	variants, err := filepath.Glob(root + "/deploy/docker/*/docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(variants) != 2 {
		t.Errorf("variants: %q", variants)
	}
	for _, file := range append(variants, root+"/docker-compose.yml") {
		t.Run(file, func(t *testing.T) {
			p := newProject(t, "config", []string{"GRAFANA_PASSWORD=secret"}, file)
			p.compose("config", "-q")
			cmd := exec.CommandContext(t.Context(), "go", "run", composeSpec, "-no-interpolation", "-format", "json", filepath.Base(file))
			cmd.Dir = filepath.Dir(file)
			var trouble strings.Builder
			cmd.Stderr = &trouble
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, trouble.String())
			}
			checkServices(t, out)
		})
	}
}

// checkServices looks at a file as the loader of new Compose gives it.
func checkServices(t *testing.T, file []byte) {
	t.Helper()
	var project struct {
		Services map[string]struct {
			Image       string   `json:"image"`
			User        string   `json:"user"`
			ReadOnly    bool     `json:"read_only"`
			CapDrop     []string `json:"cap_drop"`
			SecurityOpt []string `json:"security_opt"`
			StopGrace   string   `json:"stop_grace_period"`
			MemLimit    any      `json:"mem_limit"`
			Ulimits     struct {
				Files int `json:"nofile"`
			} `json:"ulimits"`
			Volumes []struct{ Type, Source, Target string } `json:"volumes"`
		} `json:"services"`
	}
	if err := json.Unmarshal(file, &project); err != nil {
		t.Fatal(err)
	}
	boxes := 0
	for name, s := range project.Services {
		if s.Image != image {
			if _, version, pinned := strings.Cut(s.Image, ":"); !pinned || version == "latest" {
				t.Errorf("%s: image %s has no version", name, s.Image)
			}
			continue
		}
		boxes++
		if s.User != "65532:65532" || !s.ReadOnly || strings.Join(s.CapDrop, " ") != "ALL" ||
			strings.Join(s.SecurityOpt, " ") != "no-new-privileges:true" {
			t.Errorf("%s may do more than a box needs: %+v", name, s)
		}
		if s.StopGrace != "30s" || s.MemLimit == nil || s.Ulimits.Files == 0 {
			t.Errorf("%s has no limits: %+v", name, s)
		}
		// What looks like a volume may be read otherwise: "a:/data" is a path
		// on a Windows drive.
		if len(s.Volumes) == 0 || s.Volumes[0].Type != "volume" || s.Volumes[0].Source == "" || s.Volumes[0].Target != "/var/lib/millpond" {
			t.Errorf("%s keeps nothing: %+v", name, s.Volumes)
		}
	}
	if boxes == 0 {
		t.Error("no box in it")
	}
}

// fixed are the settings that the image decides; the compose file mounts or publishes what
// they name.
var fixed = []string{
	"MILLPOND_LISTEN", "MILLPOND_DASHBOARD_LISTEN", "MILLPOND_DATA_DIR", "MILLPOND_KEYRING_DIR", "MILLPOND_SWARM_LISTEN", "MILLPOND_IDENTITY_FILE",
}

// TestComposeSettings has each setting that the box's help lists in .env, and finds it in the
// container's environment.
func TestComposeSettings(t *testing.T) {
	file, err := os.ReadFile(root + "/docker-compose.yml")
	dir := t.TempDir()
	compose := filepath.Join(dir, "docker-compose.yml")
	if err := errors.Join(err, os.WriteFile(compose, file, 0o644)); err != nil {
		t.Fatal(err)
	}
	help := must(t, "run", "--rm", image, "help")
	var names []string
	var env strings.Builder
	for word := range strings.FieldsSeq(help) {
		word = strings.TrimRight(word, ",.;:)")
		if !strings.HasPrefix(word, "MILLPOND_") || strings.ContainsAny(word, "=*`") || slices.Contains(fixed, word) || slices.Contains(names, word) {
			continue
		}
		names = append(names, word)
		env.WriteString(word + "=of-" + word + "\n")
	}
	if len(names) < 30 {
		t.Fatalf("help prints %d settings:\n%s", len(names), help)
	}
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(env.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	p := newProject(t, "settings", nil, compose)
	p.args = append(p.args, "--project-directory", dir)
	rendered := p.compose("--profile", "two", "config")
	for _, name := range names {
		if n := strings.Count(rendered, "\n      "+name+": of-"+name+"\n"); n != 2 {
			t.Errorf("%s of .env reaches %d of 2 boxes", name, n)
		}
	}
}

// TestTwoBoxes has a second box only where its profile is asked for; the two find each other.
func TestTwoBoxes(t *testing.T) {
	p := newProject(t, "two", stamps, root+"/docker-compose.yml")
	p.compose("up", "-d")
	if id := p.compose("ps", "-q", "second"); id != "" {
		t.Error("a second box runs without its profile")
	}
	p.args = append(p.args, "--profile", "two")
	p.compose("up", "-d")
	for _, service := range []string{"millpond", "second"} {
		b := p.box(service)
		confined(t, b)
		b.until("the boxes are connected", func() bool { return len(b.peers()) == 1 })
	}
}
