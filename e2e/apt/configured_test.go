package apt

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/e2e/box"
	"millpond/internal/aptest"
)

// hundreds pull in a few hundred packages with all they depend on.
var hundreds = []string{"build-essential", "git", "nginx", "vim", "python3-dev", "cmake", "rsync", "gnupg", "openssh-client"}

// configured is the mirror that this machine's own apt uses.
type configured struct {
	uri, suite, keyring string
}

// configuredMirror reads the machine's apt sources. The test is skipped where
// there are none or their mirror does not answer.
func configuredMirror(t *testing.T) configured {
	t.Helper()
	c, ok := readSources(t)
	if !ok {
		t.Skip("this machine's apt sources name no http mirror")
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Head(c.uri + "/dists/" + c.suite + "/InRelease")
	if err != nil {
		t.Skipf("the mirror of this machine's apt cannot be reached: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Skipf("the mirror of this machine's apt answers %s", resp.Status)
	}
	return c
}

// readSources finds the first http source in deb822 or one-line style.
func readSources(t *testing.T) (configured, bool) {
	t.Helper()
	files, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var c configured
		for lines := bufio.NewScanner(f); lines.Scan(); {
			field, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimSpace(value)
			first, _, _ := strings.Cut(value, " ")
			switch strings.ToLower(field) {
			case "uris":
				c.uri = strings.TrimRight(first, "/")
			case "suites":
				c.suite = first
			case "signed-by":
				c.keyring = value
			}
			if strings.HasPrefix(c.uri, "http://") && c.suite != "" && c.keyring != "" {
				return c, true
			}
		}
	}
	list, err := os.ReadFile("/etc/apt/sources.list")
	if err != nil {
		return configured{}, false
	}
	m := regexp.MustCompile(`(?m)^deb (?:\[.*\] )?(http://\S+?)/? (\S+)`).FindSubmatch(list)
	if m == nil {
		return configured{}, false
	}
	return configured{uri: string(m[1]), suite: string(m[2])}, true
}

// host is the mirror's, to be allowed: it may have a private address.
func (c configured) host(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(c.uri)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// sources are lines for sources.list.
func (c configured) sources() []string {
	options := ""
	if c.keyring != "" {
		options = "[signed-by=" + c.keyring + "] "
	}
	return []string{
		fmt.Sprintf("deb %s%s %s main", options, c.uri, c.suite),
		fmt.Sprintf("deb-src %s%s %s main", options, c.uri, c.suite),
	}
}

func (c configured) client(t *testing.T, b *box.Box) *aptest.Client {
	t.Helper()
	client := aptest.NewClient(t)
	client.Proxy(b.URL)
	client.Sources(c.sources()...)
	return client
}

func TestConfiguredMirror(t *testing.T) {
	c := configuredMirror(t)
	b := box.Start(t, "MILLPOND_ALLOW_UPSTREAMS="+c.host(t), "MILLPOND_INDEX_TTL=0s")
	use := func() int {
		client := c.client(t, b)
		mustApt(t, client, "update")
		mustApt(t, client, append([]string{"install", "--download-only"}, hundreds...)...)
		mustApt(t, client, "download", "hello")
		mustApt(t, client, "source", "--download-only", "hello")
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
	head := int64(len(b.Get("/" + strings.TrimPrefix(c.uri, "http://") + "/dists/" + c.suite + "/InRelease")))
	before := b.Summary()
	use()
	second := b.Summary()
	// A mirror without validators sends the head whole each time it is asked.
	if got := second.Mirror - before.Mirror; got > 2*head {
		t.Errorf("the second client took %d bytes from the mirror, more than index heads of %d", got, head)
	}
	if second.Client-before.Client < first.Client*9/10 {
		t.Errorf("the second client got %d bytes, the first %d", second.Client-before.Client, first.Client)
	}
	if second.FromStore-before.FromStore < second.Client-before.Client-2*head {
		t.Errorf("of %d bytes only %d came from the store", second.Client-before.Client, second.FromStore-before.FromStore)
	}
	t.Logf("first client: %d MB, of the mirror %d MB; second: %d MB, of the mirror %d kB",
		first.Client/1e6, first.Mirror/1e6, (second.Client-before.Client)/1e6, (second.Mirror-before.Mirror)/1e3)
}

// TestBootstrap builds a minimal system through the box, with both of the
// tools, and runs a program in it.
func TestBootstrap(t *testing.T) {
	c := configuredMirror(t)
	b := box.Start(t, "MILLPOND_ALLOW_UPSTREAMS="+c.host(t))
	through := b.URL + "/" + strings.TrimPrefix(c.uri, "http://")
	keyring := c.keyring
	if keyring == "" {
		keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	}
	for _, tool := range []struct {
		name string
		args func(target string) []string
	}{
		{"debootstrap", func(target string) []string {
			return []string{"--variant=minbase", "--keyring=" + keyring, c.suite, target, through}
		}},
		{"mmdebstrap", func(target string) []string {
			return []string{"--variant=apt", "--mode=root", "--keyring=" + keyring, "--aptopt=Acquire::http::Proxy \"" + b.URL + "\"",
				c.suite, target, c.uri}
		}},
	} {
		t.Run(tool.name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "root")
			cmd := exec.CommandContext(t.Context(), tool.name, tool.args(target)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", tool.name, err, tail(out))
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
	if s := b.Summary(); s.FromStore == 0 || s.Saved <= 0 {
		t.Errorf("the second bootstrap saved nothing: %+v", s)
	}
}

// tail is the end of a long output.
func tail(out []byte) string {
	if len(out) > 4000 {
		out = out[len(out)-4000:]
	}
	return string(out)
}
