package container

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
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
