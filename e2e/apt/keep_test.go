package apt

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// keeper is a box that keeps a slice of an archive of six packages.
type keeper struct {
	*site
	sources []string // lines of sources.list
	begin   time.Time
}

// version publishes all packages in another version, which has a date of so many minutes
// after the first.
func (k *keeper) version(version string, minutes int) {
	for _, p := range []aptest.Package{
		{Name: "app", Depends: "lib (= " + version + "), common | absent", Size: 20_000},
		{Name: "lib", Arch: "amd64", Size: 10_000},
		{Name: "common", Size: 1000},
		{Name: "tool", Section: "admin", Depends: "lib"},
		{Name: "base", Priority: "important", Depends: "common"},
		{Name: "unused", Size: 1000},
	} {
		p.Version = version
		k.archive.Remove(p.Name)
		k.archive.Add(p)
	}
	k.archive.AddSource(aptest.Source{Name: "app", Version: version})
	k.mirror.Publish("/debian", k.archive.Publish(k.begin.Add(time.Duration(minutes)*time.Minute)))
}

// client is a fresh apt that uses the box as its proxy.
func (k *keeper) client(t *testing.T) *aptest.Client {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(k.key)
	c.Proxy(k.box.URL)
	c.Sources(k.sources...)
	return c
}

// slice waits until the slice is as ok wants it.
func (k *keeper) slice(t *testing.T, what string, ok func(api.KeptSlice) bool) (slice api.KeptSlice) {
	t.Helper()
	err := poll.Until(t.Context(), time.Minute, what, func() error {
		var kept api.Keep
		if err := json.Unmarshal(k.box.Get("/api/v1/keep"), &kept); err != nil {
			return err
		}
		if len(kept.Slices) != 1 {
			return fmt.Errorf("%d slices", len(kept.Slices))
		}
		if slice = kept.Slices[0]; !ok(slice) {
			return fmt.Errorf("it is %+v", slice)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v; its log:\n%s", err, k.box.Log())
	}
	return slice
}

// alone has the mirror refuse everything, until the faults are cleared.
func (k *keeper) alone() {
	k.mirror.Inject("*", aptest.Status(http.StatusServiceUnavailable))
	k.mirror.ResetLog()
}

// wantAlone fails the test if the mirror, which is away, was asked for anything but the
// Release of a suite, and what the box still lacks of a slice: it asks for that by itself.
func (k *keeper) wantAlone(t *testing.T, when string, lacks ...string) {
	t.Helper()
	for _, r := range k.mirror.Log() {
		if name := filepath.Base(r.Path); name != "InRelease" && name != "Release" && !slices.Contains(lacks, name) {
			t.Errorf("%s: the mirror was asked for %s", when, r.Path)
		}
	}
}

// With the mirror away, the real apt installs all that is kept, and what it depends on,
// from a box that no client used before. While one file of the next generation cannot be
// had, the slice stays whole as it was; then it is whole in that one.
func TestKeptSlice(t *testing.T) {
	for _, tt := range []struct {
		name   string
		suite  aptest.Suite
		entry  string // behind the URL, of MILLPOND_FOLLOW and of sources.list
		source string
		kept   []string // what is selected
		with   []string // what that depends on
		others []string
	}{
		{"packages", aptest.Suite{}, "stable main amd64,source package:app", "stable main", []string{"app"}, []string{"lib", "common"}, []string{"tool", "base", "unused"}},
		{"section and priority", aptest.Suite{}, "stable main amd64 section:admin priority:important", "stable main", []string{"tool", "base"}, []string{"lib", "common"}, []string{"app", "unused"}},
		{"packages of all architectures apart", aptest.Suite{EditRelease: func(text string) string {
			return strings.ReplaceAll(text, "No-Support-for-Architecture-all: Packages\n", "")
		}}, "stable main amd64 package:app", "stable main", []string{"app"}, []string{"lib", "common"}, []string{"tool", "base", "unused"}},
		{"all without InRelease", aptest.Suite{NoInRelease: true}, "stable main amd64,source depth=all", "stable main", []string{"app", "tool", "base", "unused"}, []string{"lib", "common"}, nil},
		{"flat", aptest.Suite{Flat: true}, "./ amd64,source package:app", "./", []string{"app"}, []string{"lib", "common"}, []string{"tool", "base", "unused"}},
		{"flat in a directory", aptest.Suite{Flat: true, Name: "lab"}, "lab/ amd64 section:admin", "lab/", []string{"tool"}, []string{"lib"}, []string{"app", "base", "unused"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := &keeper{site: &site{key: aptest.NewKey("archive")}, begin: time.Now().Add(-time.Hour)}
			k.archive = aptest.NewArchive(k.key, tt.suite)
			k.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
			line := k.mirror.URL("/debian") + " " + tt.source
			k.sources = []string{"deb " + line}
			if strings.Contains(tt.entry, "source") {
				k.sources = append(k.sources, "deb-src "+line)
			}
			k.version("1-1", 0)
			k.box = box.Start(t, k.settings(t, "MILLPOND_INDEX_TTL=0s", "MILLPOND_FOLLOW="+k.mirror.URL("/debian")+" "+tt.entry)...)
			isComplete := func(s api.KeptSlice) bool { return s.State == "complete" }
			first := k.slice(t, "complete", isComplete)
			all := slices.Concat(tt.kept, tt.with)

			k.alone()
			old := k.client(t)
			install := func(when, version string, c *aptest.Client, lacks ...string) {
				t.Helper()
				c.MustApt("update", "--error-on=any")
				c.MustApt(append([]string{"install"}, tt.kept...)...)
				c.MustApt("dist-upgrade")
				wantInstalled(t, c, version, all...)
				if len(k.sources) > 1 {
					c.MustApt("source", "--download-only", "app="+version)
				}
				k.wantAlone(t, when, lacks...)
			}
			install("at first", "1-1", old)
			for _, name := range tt.others {
				if out, err := old.Apt(t.Context(), "install", "--download-only", name); err == nil {
					t.Errorf("%s, which is not kept, was installed:\n%s", name, out)
				}
			}

			// The mirror has all of the next generation but one file.
			k.mirror.ClearFaults()
			lib := k.mirror.Inject("*lib_2-1*", aptest.Status(http.StatusNotFound))
			k.version("2-1", 1)
			k.box.Stop()
			k.box.Run() // it asks soon after a start
			mid := k.slice(t, "all but one file of the next generation held", func(s api.KeptSlice) bool {
				return s.Wanted != first.Complete && s.FilesHeld == s.Files-1 && s.Fault != ""
			})
			if mid.Complete != first.Complete || mid.State != "failing" || !strings.Contains(mid.Fault, "lib_2") || mid.FilesGone != 0 || lib.Hits() == 0 {
				t.Errorf("in the middle: %+v", mid)
			}
			k.alone()
			const lacked = "lib_2-1_amd64.deb"
			install("in the middle, new lists", "1-1", k.client(t), lacked)
			old.MustApt(append([]string{"install", "--reinstall"}, all...)...)
			k.wantAlone(t, "in the middle, old lists", lacked)

			k.mirror.ClearFaults()
			k.box.Kill()
			k.box.Run()
			last := k.slice(t, "complete in the next generation", func(s api.KeptSlice) bool { return isComplete(s) && s.Complete != first.Complete })
			if last.Complete != mid.Wanted || last.FilesHeld != last.Files {
				t.Errorf("at last: %+v", last)
			}
			k.alone()
			install("at last, old lists", "2-1", old)
			install("at last, new lists", "2-1", k.client(t))
		})
	}
}
