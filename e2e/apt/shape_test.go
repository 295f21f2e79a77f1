package apt

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// shape is one way in which an archive can be laid out, signed and served.
type shape struct {
	name  string
	build func(builder) *place
}

// builder is a test that builds a place, and one that outlives it, to which the
// mirrors belong.
type builder struct {
	*testing.T
	life   testing.TB
	listen string // of mirrors, as aptest has it
}

// add puts a package in an archive, with bytes that no other shape's has: the
// boxes have seen those.
func (b builder) add(a *aptest.Archive, p aptest.Package) aptest.File {
	p.Files = map[string][]byte{"usr/share/doc/" + p.Name + "/shape": []byte(b.Name())}
	return a.Add(p)
}

func (b builder) addSource(a *aptest.Archive, s aptest.Source) []aptest.File {
	s.Files = map[string][]byte{"shape": []byte(b.Name())}
	return a.AddSource(s)
}

func (b builder) mirror(o aptest.MirrorOptions) *aptest.Mirror {
	if o.Listen == "" {
		o.Listen = b.listen
	}
	return aptest.NewMirror(b.life, o)
}

// place is an archive of a shape and its mirrors, and what a client does there.
// MIRROR stands for what comes before the path in a URL of the mirror.
type place struct {
	mirrors []*aptest.Mirror
	tls     bool // the first mirror speaks https
	sources []string
	keys    []*aptest.Key // that clients trust; the key of trusted if none
	setup   func(*aptest.Client)

	update func(*visit) // apt-get update, if nil
	fetch  func(*visit) // with the lists of update; all of install, if nil
	// install are the packages that fetch downloads.
	install []string

	signed bool // with a key that the boxes have
	// signedAt is when the signature begins to count for boxes; zero for at once.
	signedAt time.Time
	// passes is a pattern of names that a box may ask the mirror for each time.
	passes string
	// blames says that boxes may find fault with each other, which they remember.
	blames bool
	// patched says that clients make their indices with patches, so that a box
	// which is new to the archive has read none when they ask for a package.
	patched bool
	// spares says that a box has answers where the mirror has none, and apt goes
	// on to another name.
	spares    bool
	fails     bool // apt fails without a box, too
	proxyOnly bool // there is nothing to write a path form in
	// alias says that the mirrors are names of one archive, the second of which
	// later clients use.
	alias bool
	named int // the mirror that MIRROR is of
	// moves says that each visit meets other generations than the one before,
	// and so has other lists.
	moves bool
	// live says that fetch needs an update by the same way.
	live bool
}

// trusted signs archives, and is in the keyrings of boxes and clients. expired
// is there too, and stranger is not.
var (
	trusted  = aptest.NewKey("archive")
	expired  = aptest.NewExpiredKey("expired")
	stranger = aptest.NewKey("stranger")
)

// form is how a client reaches a mirror.
type form int

const (
	direct form = iota
	byProxy
	byPath
)

// base is what MIRROR stands for.
func (p *place) base(f form, b *box.Box) string {
	m := p.mirrors[p.named]
	switch {
	case f == byPath && p.tls:
		return b.URL + "/https/" + m.Addr()
	case f == byPath:
		return b.URL + "/" + m.Addr()
	case f == byProxy && p.tls:
		return "http://HTTPS///" + m.Addr()
	}
	return strings.TrimSuffix(m.URL("/"), "/")
}

// visit is what one client does at a place.
type visit struct {
	t      *testing.T
	place  *place
	client *aptest.Client
	base   string
	out    *strings.Builder
}

// run runs a program of the client and records what it prints.
func (v *visit) run(program string, args ...string) {
	args = append([]string(nil), args...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "MIRROR", v.base)
	}
	out, err := v.client.Run(v.t.Context(), program, args...)
	v.out.WriteString("$ " + filepath.Base(program) + " " + strings.Join(args, " ") + "\n" + out)
	v.out.WriteString("exit " + exitStatus(err) + "\n")
}

func (v *visit) apt(args ...string) { v.run("apt-get", append([]string{"-q", "-y"}, args...)...) }

// newVisit makes a client with nothing in it. tb outlives the visit if the
// client is to be used again.
func (p *place) newVisit(t *testing.T, tb testing.TB, f form, b *box.Box) *visit {
	v := &visit{t: t, place: p, client: aptest.NewClient(tb), base: p.base(f, b)}
	keys := p.keys
	if keys == nil {
		keys = []*aptest.Key{trusted}
	}
	for _, key := range keys {
		v.client.Trust(key)
	}
	if p.tls {
		v.client.TrustCA(p.mirrors[0].CertPEM())
	}
	if f == byProxy {
		v.client.Proxy(b.URL)
	}
	var lines []string
	for _, line := range p.sources {
		lines = append(lines, strings.ReplaceAll(line, "MIRROR", v.base))
	}
	v.client.Sources(lines...)
	if p.setup != nil {
		p.setup(v.client)
	}
	return v
}

// all does everything, as a new client.
func (v *visit) all() result {
	v.out = new(strings.Builder)
	if v.place.update != nil {
		v.place.update(v)
	} else {
		v.apt("update")
	}
	r := result{update: v.printed()}
	fetched := v.fetched()
	r.fetch, r.files = fetched.fetch, fetched.files
	if !v.place.moves {
		v.addFiles(r.files, "lists", filepath.Join(v.client.Root, "var/lib/apt/lists"))
	}
	return r
}

// fetched does what comes after the update.
func (v *visit) fetched() result {
	v.out = new(strings.Builder)
	if v.place.fetch != nil {
		v.place.fetch(v)
	} else {
		v.apt(append([]string{"install", "--download-only"}, v.place.install...)...)
	}
	r := result{fetch: v.printed(), files: map[string]string{}}
	v.addFiles(r.files, "archives", filepath.Join(v.client.Root, "var/cache/apt/archives"))
	v.addFiles(r.files, "work", v.client.Work)
	return r
}

// addFiles adds the regular files of a directory by their names without the
// form's part, and with what they hold.
func (v *visit) addFiles(files map[string]string, kind, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name() == "lock" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			v.t.Fatal(err)
		}
		name := e.Name()
		for _, m := range v.place.mirrors {
			if _, after, found := strings.Cut(name, strings.ReplaceAll(m.Addr(), "/", "_")); found {
				name = after
			}
		}
		files[kind+"/"+name] = string(data)
	}
}

// quoted is how the names of lists begin for a base.
func quoted(base string) string {
	_, rest, _ := strings.Cut(base, "://")
	return strings.ReplaceAll(rest, "/", "_")
}

// lists copies the lists of another client, whose form may be another.
func (v *visit) lists(of *visit) {
	const lists = "var/lib/apt/lists"
	from, to := os.DirFS(filepath.Join(of.client.Root, lists)), filepath.Join(v.client.Root, lists)
	err := fs.WalkDir(from, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, found := strings.CutPrefix(e.Name(), quoted(of.base))
		if !found || !e.Type().IsRegular() {
			return nil
		}
		return copyFile(from, name, filepath.Join(to, filepath.Dir(name), quoted(v.base)+rest))
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

// copyFile copies a file with its time: apt asks whether there is a younger one.
func copyFile(from fs.FS, name, to string) error {
	data, err := fs.ReadFile(from, name)
	if err != nil {
		return err
	}
	info, err := fs.Stat(from, name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, info.ModTime())
}

// helper is apt's own downloader.
func (v *visit) helper(url, name string) {
	v.run("/usr/lib/apt/apt-helper", "-q", "download-file", url, name)
}
