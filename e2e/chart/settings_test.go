package chart

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

// config lists the box's settings, from the tags of its Config.
func config(t *testing.T) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "../../appliance/config.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			if f.Tag == nil {
				continue
			}
			tag, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, "MILLPOND_"+reflect.StructTag(tag).Get("env"))
		}
		return false
	})
	if len(all) < 20 {
		t.Fatalf("found only the settings %v", all)
	}
	slices.Sort(all)
	return all
}

// Every setting of the box can be had through the chart, by a value of its own
// or by `settings` but not by both, and the chart knows no others.
func TestSettings(t *testing.T) {
	want := config(t)
	text := valueSets(t)["everything"]
	all := render(t, text)
	env := all.env(t) // which fails for one that is set twice
	delete(env, "POD_IP")
	delete(env, "NODE_IP")
	delete(env, "DASHBOARD_TOKEN") // part of MILLPOND_DASHBOARD_ACCESS
	delete(env, "SSL_CERT_FILE")   // which Go reads, not the box
	delete(env, "NOTE")            // of extraEnv, as SITE
	delete(env, "SITE")
	if zone := env["TZ"]; zone != "Europe/Berlin" {
		t.Errorf("the zone is %q", zone)
	}
	delete(env, "TZ")
	// A secret may come from a file.
	got := slices.Sorted(maps.Keys(env))
	for i, name := range got {
		if plain := strings.TrimSuffix(name, "_FILE"); slices.Contains(want, plain) {
			got[i] = plain
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("testdata/values/everything.yaml sets %v,\nwhere the box has %v", got, want)
	}

	free := slices.Collect(maps.Keys(schemaOf(t)["properties"].(map[string]any)["settings"].(map[string]any)["properties"].(map[string]any)))
	for name := range values(t, text)["settings"].(map[string]any) {
		if !slices.Contains(free, name) {
			t.Errorf("values.schema.json has no setting %s", name)
		}
	}
	if got, want := len(free), len(values(t, text)["settings"].(map[string]any)); got != want {
		t.Errorf("values.schema.json allows %d settings %v, of which everything.yaml has %d", got, free, want)
	}
}

// The box takes whatever the chart gives it.
func TestBoxTakesSettings(t *testing.T) {
	eachSet(t, func(t *testing.T, all objects) {
		if output, err := readSettings(t, all.environment(t)); err != nil {
			t.Errorf("%v: %s", err, output)
		}
	})
}

// binary is the program.
func binary(t *testing.T) string {
	t.Helper()
	name := os.Getenv("MILLPOND_BINARY")
	if name == "" {
		t.Fatal("MILLPOND_BINARY names no program; run the tests with `make e2e-chart`")
	}
	return name
}

// readSettings has the box read an environment, and fails if the box finds
// fault with it.
func readSettings(t *testing.T, env []string) (output string, err error) {
	t.Helper()
	// It reads its settings, then looks for a box, which there need not be:
	// exit code 1. With faulty settings it is 2.
	cmd := exec.Command(binary(t), "healthcheck")
	cmd.Env = env
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil
	}
	return string(b), err
}

// environment is what the kubelet would give the box, with the files where this
// machine has them.
func (all objects) environment(t *testing.T) []string {
	t.Helper()
	expand := strings.NewReplacer("$(POD_IP)", "10.1.2.3", "$(NODE_IP)", "192.0.2.7", "$(DASHBOARD_TOKEN)", "a long random word\n")
	var env []string
	for name, value := range all.env(t) {
		switch name {
		case "MILLPOND_SWARM_KEY_FILE":
			value = all.keyFile(t)
		case "MILLPOND_TLS_CERT":
			value = certificateFile(t)
		case "MILLPOND_AUTH_FILE":
			value = writeFile(t, "auth.conf", "machine archive.example.org login bob password x\n")
		case "MILLPOND_ADMIN_TOKEN_FILE":
			value = writeFile(t, "admin-token", "a long random word\n")
		}
		env = append(env, name+"="+expand.Replace(value))
	}
	return env
}

// certificateFile writes a certificate and its key to a file.
func certificateFile(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	file := filepath.Join(t.TempDir(), "tls.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// keyFile writes the swarm key to a file, one of this test's if the Secret is
// not the chart's.
func (all objects) keyFile(t *testing.T) string {
	t.Helper()
	key := []byte("/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat("0f", 32) + "\n")
	for name, s := range of[*core.Secret](all) {
		if strings.HasSuffix(name, "-swarm-key") {
			key = s.Data["swarm.key"]
		}
	}
	return writeFile(t, "swarm.key", string(key))
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
