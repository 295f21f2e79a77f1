package manual

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// liveBuild has a shell, in a directory of its own, run commands on a machine that has
// live-build. It lies over /usr in a mount namespace, since its programs name its files there.
func liveBuild(ctx context.Context, dir, over, code string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--propagation", "private", "sh", "-euc", `
		mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
		exec dash -euc "$2"`, "sh", over, code)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

// TestLiveBuild has live-build take the recipe's line, and keep the box as the build's proxy.
func TestLiveBuild(t *testing.T) {
	over := unpacked(t, "live-build")
	recipes := 0
	for name, examples := range pages(t) {
		for _, e := range examples {
			if e.kind != "livebuild" {
				continue
			}
			recipes++
			dir := t.TempDir()
			if out, err := liveBuild(t.Context(), dir, over, e.code); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			config, err := os.ReadFile(filepath.Join(dir, "config", "common"))
			if err != nil {
				t.Fatal(err)
			}
			if want := "LB_APT_HTTP_PROXY=\"http://BOX:3142\"\n"; !strings.Contains(string(config), want) {
				t.Errorf("no %s in\n%s", want, config)
			}
		}
	}
	if recipes == 0 {
		t.Error("no page has a recipe for live-build")
	}
	if out, err := liveBuild(t.Context(), t.TempDir(), over, "lb config --no-such-option"); err == nil {
		t.Errorf("live-build takes what is wrong:\n%s", out)
	}
}
