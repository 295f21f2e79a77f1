package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"millpond/e2e/internal/system"
)

// unpackedPrograms are Debian packages of programs whose configurations the recipes have, with
// the libraries and Python modules that they need. They are not installed: cloud-init would set up this machine.
var unpackedPrograms = []string{
	"ansible-core", "bind9-libs", "bind9-utils", "cloud-init", "debos", "libavahi-glib1", "libfstrm0",
	"libjemalloc2", "libjson-c5", "liblmdb0", "libmaxminddb0", "libnghttp2-14", "libostree-1-1", "libprotobuf-c1",
	"libuv1", "packer", "python3-configobj", "python3-json-pointer", "python3-jsonpatch", "python3-netifaces",
	"python3-oauthlib", "python3-packaging", "python3-resolvelib",
}

// recipes are the commands that read a recipe of a kind, whose file's name follows.
var recipes = map[string][]string{
	"cloudinit": {"usr/bin/cloud-init", "schema", "--config-file"},
	"ansible":   {"usr/bin/ansible-playbook", "--syntax-check"},
	"debos":     {"usr/bin/debos", "--disable-fakemachine", "--dry-run"},
	"packer":    {"usr/bin/packer", "validate", "-syntax-only"},
	"zone":      {"usr/bin/named-checkzone", "millpond"},
}

// Recipes for other programs are ones that these take.
func TestRecipes(t *testing.T) {
	dir := t.TempDir()
	args := append([]string{"-euc", `cd "$1"; shift; apt-get -q download "$@"; for f in *.deb; do dpkg-deb -x "$f" .; done`, "sh", dir}, unpackedPrograms...)
	if err := system.Run("sh", args...); err != nil {
		t.Fatal(err)
	}
	read := func(kind, code string) ([]byte, error) {
		file := filepath.Join(t.TempDir(), "recipe.pkr.hcl") // packer goes by the name, the others do not
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		command := recipes[kind]
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, command[0]), append(command[1:], file)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "CHECKPOINT_DISABLE=1", "PYTHONPATH="+filepath.Join(dir, "usr/lib/python3/dist-packages"),
			"LD_LIBRARY_PATH="+filepath.Join(dir, "usr/lib/x86_64-linux-gnu"))
		return cmd.CombinedOutput()
	}
	seen := make(map[string]bool)
	for name, examples := range pages(t) {
		for _, e := range examples {
			if recipes[e.kind] == nil {
				continue
			}
			seen[e.kind] = true
			if out, err := read(e.kind, e.code); err != nil {
				t.Errorf("%s: %s: %v\n%s", name, e.kind, err, out)
			}
		}
	}
	if len(seen) != len(recipes) {
		t.Errorf("only recipes of these kinds were found: %v", seen)
	}
	for kind, wrong := range map[string]string{
		"cloudinit": "#cloud-config\npackage_update: never\n",
		"ansible":   "- hosts: debian\n  tasks:\n    - no.such.module: yes\n",
		"debos":     "architecture: amd64\nactions:\n  - action: no-such\n",
		"packer":    "build {\n",
		"zone":      "$TTL 300\n@ IN SOA localhost. root.localhost. 1 2 3 4 5\n",
	} {
		if out, err := read(kind, wrong); err == nil {
			t.Errorf("%s takes what is wrong:\n%s%s", kind, wrong, out)
		}
	}
}
