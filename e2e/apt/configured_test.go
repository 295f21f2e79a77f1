package apt

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/machine"
	"millpond/e2e/internal/system"
	"millpond/internal/aptest"
)

// hundreds pull in a few hundred packages with all they depend on.
var hundreds = []string{"build-essential", "git", "nginx", "vim", "python3-dev", "cmake", "rsync", "gnupg", "openssh-client"}

// configuredMirror is the mirror that this machine's own apt uses. Where it does
// not answer, the test fails if CI is set, and is skipped if not.
func configuredMirror(t *testing.T) machine.Mirror {
	t.Helper()
	m, err := machine.Answering()
	switch {
	case err == nil:
	case os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return m
}

// clientOf is a fresh apt that uses the mirror through the box.
func clientOf(t *testing.T, m machine.Mirror, b *box.Box) *aptest.Client {
	t.Helper()
	client := aptest.NewClient(t)
	client.Proxy(b.URL)
	client.Sources(m.Source("deb"), m.Source("deb-src"))
	return client
}

func TestConfiguredMirror(t *testing.T) {
	m := configuredMirror(t)
	b := box.Start(t, "MILLPOND_ALLOW_UPSTREAMS="+m.Host(), "MILLPOND_INDEX_TTL=0s")
	use := func() int {
		client := clientOf(t, m, b)
		client.MustApt("update")
		client.MustApt(append([]string{"install", "--download-only"}, hundreds...)...)
		client.MustApt("download", "hello")
		client.MustApt("source", "--download-only", "hello")
		debs, err := filepath.Glob(filepath.Join(client.Root, "var/cache/apt/archives/*.deb"))
		if err != nil {
			t.Fatal(err)
		}
		return len(debs)
	}
	if n := use(); n < 200 {
		t.Errorf("the first client got %d packages, want a few hundred", n)
	}
	first := b.Summary()
	head := int64(len(b.Get("/" + strings.TrimPrefix(m.URI, "http://") + "/dists/" + m.Suite + "/InRelease")))
	before := b.Summary()
	use()
	second := b.Summary()
	// A mirror without validators sends the head whole each time it is asked.
	if got := second.MirrorBytes - before.MirrorBytes; got > 2*head {
		t.Errorf("the second client took %d bytes from the mirror, more than index heads of %d", got, head)
	}
	if second.ClientBytes-before.ClientBytes < first.ClientBytes*9/10 {
		t.Errorf("the second client got %d bytes, the first %d", second.ClientBytes-before.ClientBytes, first.ClientBytes)
	}
	if second.FromStore-before.FromStore < second.ClientBytes-before.ClientBytes-2*head {
		t.Errorf("of %d bytes only %d came from the store", second.ClientBytes-before.ClientBytes, second.FromStore-before.FromStore)
	}
	t.Logf("first client: %d MB, of the mirror %d MB; second: %d MB, of the mirror %d kB",
		first.ClientBytes/1e6, first.MirrorBytes/1e6, (second.ClientBytes-before.ClientBytes)/1e6, (second.MirrorBytes-before.MirrorBytes)/1e3)
}

// TestBootstrap builds a minimal system through the box, with both of the
// tools, and runs a program in it.
func TestBootstrap(t *testing.T) {
	m := configuredMirror(t)
	b := box.Start(t, "MILLPOND_ALLOW_UPSTREAMS="+m.Host())
	through := b.URL + "/" + strings.TrimPrefix(m.URI, "http://")
	for _, tool := range []struct {
		name string
		args func(target string) []string
	}{
		{"debootstrap", func(target string) []string {
			return []string{"--variant=minbase", "--keyring=" + m.Keyring, m.Suite, target, through}
		}},
		{"mmdebstrap", func(target string) []string {
			return []string{"--variant=apt", "--mode=root", "--keyring=" + m.Keyring, "--aptopt=Acquire::http::Proxy \"" + b.URL + "\"",
				m.Suite, target, m.URI}
		}},
	} {
		t.Run(tool.name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "root")
			cmd := exec.CommandContext(t.Context(), tool.name, tool.args(target)...)
			if err := system.Finish(cmd); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "chroot", target, "dpkg", "--audit").CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("the system is not sound: %v\n%s", err, out)
			}
			out, err = exec.CommandContext(t.Context(), "chroot", target, "apt-get", "--version").CombinedOutput()
			if err != nil {
				t.Errorf("the system does not run: %v\n%s", err, out)
			}
		})
	}
	if s := b.Summary(); s.FromStore == 0 || s.SavedBytes <= 0 {
		t.Errorf("the second bootstrap saved nothing: %+v", s)
	}
}
