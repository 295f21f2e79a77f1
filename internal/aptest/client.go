package aptest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Client is the machine's real apt with a root of its own: sources, keys, lists,
// cache and dpkg database are all private, and packages are installed beneath
// Root. It takes no proxy from the environment and needs no privilege. Its
// methods are for one goroutine; several clients may run at once.
type Client struct {
	Root string // of the file system it installs to
	Work string // directory that commands run in, where sources are unpacked

	tb      testing.TB
	options []string // lines of apt.conf
}

// NewClient makes an apt of architecture amd64 with no sources and nothing
// installed.
func NewClient(tb testing.TB) *Client {
	tb.Helper()
	dir := tb.TempDir()
	c := &Client{Root: filepath.Join(dir, "root"), Work: filepath.Join(dir, "work"), tb: tb}
	for _, d := range []string{
		"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "etc/apt/sources.list.d",
		"var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt",
		"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers",
	} {
		c.mkdir(filepath.Join(c.Root, d))
	}
	c.mkdir(c.Work)
	c.write("var/lib/dpkg/status", nil)
	c.options = []string{
		fmt.Sprintf("Dir %q;", c.Root+"/"),
		fmt.Sprintf("Dir::State::status %q;", filepath.Join(c.Root, "var/lib/dpkg/status")),
		fmt.Sprintf("DPkg::Options { %q; \"--force-not-root\"; \"--force-script-chrootless\"; \"--log=/dev/null\"; };", "--root="+c.Root),
	}
	c.Set("APT::Architecture", "amd64")
	c.Set("APT::Architectures", "amd64")
	c.Set("APT::Sandbox::User", "")
	c.Set("Acquire::Languages", "en")
	c.Set("Acquire::Retries", "0")
	c.Set("Acquire::http::Proxy", "DIRECT")
	c.Set("Acquire::https::Proxy", "DIRECT")
	return c
}

// Set gives an apt option (apt.conf(5)) a value, over a former one.
func (c *Client) Set(option, value string) {
	c.options = append(c.options, fmt.Sprintf("%s %q;", option, value))
	c.write("etc/apt/apt.conf", []byte(strings.Join(c.options, "\n")+"\n"))
}

// Proxy makes apt use the proxy at url for http and https sources; "DIRECT" is
// none.
func (c *Client) Proxy(url string) {
	c.Set("Acquire::http::Proxy", url)
	c.Set("Acquire::https::Proxy", url)
}

// Sources sets the lines of sources.list.
func (c *Client) Sources(lines ...string) {
	c.write("etc/apt/sources.list", []byte(strings.Join(lines, "\n")+"\n"))
}

// Trust makes apt accept what the key signs.
func (c *Client) Trust(key *Key) {
	c.write("etc/apt/trusted.gpg.d/"+key.Fingerprint()+".gpg", key.Public())
}

// TrustCA makes apt accept https servers under the certificate (CertPEM).
func (c *Client) TrustCA(pem []byte) {
	c.write("etc/ca.pem", pem)
	c.Set("Acquire::https::CAInfo", filepath.Join(c.Root, "etc/ca.pem"))
}

// Apt runs apt-get with the arguments and returns its output, both streams
// together; the error holds the output too.
func (c *Client) Apt(ctx context.Context, args ...string) (string, error) {
	return c.Run(ctx, "apt-get", append([]string{"-q", "-y"}, args...)...)
}

// MustApt is Apt within the test's own time; an error ends the test.
func (c *Client) MustApt(args ...string) string {
	c.tb.Helper()
	out, err := c.Apt(c.tb.Context(), args...)
	if err != nil {
		c.tb.Fatal(err)
	}
	return out
}

// Run runs a program that reads apt's configuration, apt-cache or apt-get say,
// as Apt does.
func (c *Client) Run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.Work
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
		"HOME=" + c.Root, "TMPDIR=" + c.Work, "APT_CONFIG=" + filepath.Join(c.Root, "etc/apt/apt.conf"),
	}
	// apt's methods are its children and hold the output open: interrupt, which
	// apt passes on, and do not wait for them for ever.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// Clean drops downloaded indices and packages, so that apt fetches all again.
func (c *Client) Clean() {
	for _, dir := range []string{"var/lib/apt/lists", "var/cache/apt"} {
		if err := os.RemoveAll(filepath.Join(c.Root, dir)); err != nil {
			c.tb.Fatal(err)
		}
	}
	c.mkdir(filepath.Join(c.Root, "var/lib/apt/lists/partial"))
	c.mkdir(filepath.Join(c.Root, "var/cache/apt/archives/partial"))
}

// Downloaded returns a package file that install --download-only left.
func (c *Client) Downloaded(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(c.Root, "var/cache/apt/archives", name))
}

func (c *Client) mkdir(dir string) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *Client) write(name string, data []byte) {
	if err := os.WriteFile(filepath.Join(c.Root, name), data, 0o644); err != nil {
		c.tb.Fatal(err)
	}
}
