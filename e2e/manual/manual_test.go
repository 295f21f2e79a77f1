// Package manual runs the commands of docs/ as a reader would: against the built box, with a
// real apt whose root is its own. It gives the configurations there to the programs that they
// are for, and builds the site.
package manual

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

const docs = "../../docs"

// block is a fenced block of a page that a comment marks for a test; internal/manual checks
// that all others say why not.
var block = regexp.MustCompile("(?ms)^<!-- run: ([a-z]+) -->\n^[ ]*```[a-z]*\n(.*?)^[ ]*```$")

// example is a block of a page.
type example struct{ kind, code string }

// manual returns the text of each page, by its file.
func manual(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(docs, func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".md" {
			return err
		}
		text, err := os.ReadFile(name)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// pages returns the marked blocks of each page, in order.
func pages(t *testing.T) map[string][]example {
	t.Helper()
	all := make(map[string][]example)
	n := 0
	for name, text := range manual(t) {
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			all[name] = append(all[name], example{m[1], m[2]})
			n++
		}
	}
	if n < 15 {
		t.Fatalf("only %d blocks were found; the test looks in the wrong place", n)
	}
	return all
}

// reader is somebody with a box, and a machine whose apt uses an archive.
type reader struct {
	*aptest.Client
	box    *box.Box
	dir    string // with millpond in bin/
	env    []string
	mirror string // stands for archive.example.org
	date   time.Time
}

// small are programs that make images, content with an archive of two packages and its key.
// mmdebstrap takes a bare URL of stable for Debian's, with Debian's key;
// its apt's own user cannot read the test's directory.
var small = map[string]string{
	"debootstrap": `exec /usr/sbin/debootstrap --arch=amd64 --variant=minbase --download-only --include=hello --keyring=KEYRING "$@"`,
	"mmdebstrap": `n=$# i=0
for a; do
	i=$((i+1))
	[ $i != $n ] || a="deb [signed-by=KEYRING] $a stable main"
	set -- "$@" "$a"
done
shift $n
exec /usr/bin/mmdebstrap --variant=extract --mode=root --architectures=amd64 --include=hello --aptopt='APT::Sandbox::User "root"' "$@"`,
}

const adminToken = "a-long-random-word"

func newReader(t *testing.T) *reader {
	t.Helper()
	key := aptest.NewKey("manual")
	archive := aptest.NewArchive(key, aptest.Suite{})
	archive.Add(aptest.Package{Name: "hello", Version: "1.0-1", Size: 20_000})
	archive.Add(aptest.Package{Name: "apt", Version: "1.0-1", Size: 20_000}) // for debootstrap
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{})
	r := &reader{Client: aptest.NewClient(t), dir: t.TempDir(), mirror: mirror.Addr(), date: time.Now()}
	mirror.Publish("/debian", archive.Publish(r.date))
	if err := os.WriteFile(filepath.Join(r.dir, "archive.gpg"), key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs(os.Getenv("MILLPOND_BINARY"))
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(r.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "millpond")); err != nil {
		t.Fatal(err)
	}
	for name, script := range small {
		script = "#!/bin/sh\n" + strings.ReplaceAll(script, "KEYRING", filepath.Join(r.dir, "archive.gpg"))
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.put(t)
	r.box = box.Start(t, "MILLPOND_KEYRING_DIR="+r.dir, "MILLPOND_ALLOW_UPSTREAMS="+mirror.Addr(), "MILLPOND_ADMIN_TOKEN="+adminToken)
	r.Trust(key)
	r.Sources("deb " + mirror.URL("/debian") + " stable main")
	r.env = []string{
		"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + r.Root, "LC_ALL=C.UTF-8",
		"APT_CONFIG=" + filepath.Join(r.Root, "etc/apt/apt.conf"),
		"MILLPOND_LISTEN=" + strings.TrimPrefix(r.box.URL, "http://"), "MILLPOND_DATA_DIR=" + r.box.Data, "MILLPOND_ADMIN_TOKEN=" + adminToken,
	}
	// A client for the figures to show.
	r.Proxy(r.box.URL)
	r.MustApt("update")
	r.Proxy("DIRECT")
	r.Clean()
	return r
}

// put puts into the reader's directory what examples suppose to be there: a certificate, and
// a program that takes settings as the box does, and does not serve.
func (r *reader) put(t *testing.T) {
	t.Helper()
	cert, key := aptest.Certificate(t, r.date.Add(time.Hour))
	if err := os.Mkdir(filepath.Join(r.Work, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cert.pem": string(cert), "key.pem": string(key),
		// Exit code 2 is for wrong settings.
		"bin/millpond": "#!/bin/sh\nmillpond healthcheck || test $? != 2\n",
	} {
		if err := os.WriteFile(filepath.Join(r.Work, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// run has the shell run a block with the reader's box for the page's.
func (r *reader) run(ctx context.Context, code string) (string, error) {
	code = strings.NewReplacer("http://BOX:3142", r.box.URL, "http://127.0.0.1:3142", r.box.URL, "BOX:3142", strings.TrimPrefix(r.box.URL, "http://"),
		"archive.example.org/debian", r.mirror+"/debian", "20260131T120000Z", r.date.UTC().Format("20060102T150405Z"), "/target", filepath.Join(r.Work, "target")).Replace(code)
	code = strings.ReplaceAll(code, "grep -q 3142", "grep -q "+r.box.URL[strings.LastIndex(r.box.URL, ":")+1:])
	cmd := exec.CommandContext(ctx, "dash", "-euc", code)
	cmd.Dir, cmd.Env = r.Work, r.env
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s\nprints\n%s", err, code, out.String())
	}
	return out.String(), nil
}

// What the manual says to type works.
func TestCommands(t *testing.T) {
	for name, examples := range pages(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var r *reader
			for _, e := range examples {
				switch e.kind {
				case "box", "files", "root", "image", "start":
					if r == nil {
						r = newReader(t)
					}
					code := e.code
					if e.kind == "start" && !strings.Contains(code, "./bin/millpond") {
						code = strings.TrimSuffix(code, "\n") + " ./bin/millpond"
					}
					said, err := r.run(t.Context(), code)
					if err != nil {
						t.Error(err)
					}
					if e.kind == "box" && strings.Contains(e.code, "millpond status") && !strings.Contains(said, "held") {
						t.Errorf("millpond status says\n%s", said)
					}
				}
			}
		})
	}
}
