package prefetch

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"millpond/internal/catalog"
)

func TestLine(t *testing.T) {
	t.Parallel()
	flat := catalog.Location{Scheme: "https", Host: "repo.example.org", Path: "/tools-1"}
	tests := []struct {
		suite catalog.SuiteInfo
		want  string
	}{
		{catalog.SuiteInfo{Codename: "bookworm", Suite: "stable"}, "bookworm"},
		{catalog.SuiteInfo{Codename: "bookworm-security", Suite: "stable-security"}, "bookworm"},
		{catalog.SuiteInfo{Codename: "bookworm-updates"}, "bookworm"},
		{catalog.SuiteInfo{Codename: "buster/updates"}, "buster"},
		{catalog.SuiteInfo{Codename: "noble", Suite: "noble-updates"}, "noble"},
		{catalog.SuiteInfo{Codename: "bookworm-backports"}, "bookworm-backports"},
		{catalog.SuiteInfo{Codename: "bookworm-proposed-updates"}, "bookworm-proposed-updates"},
		{catalog.SuiteInfo{Suite: "stable-updates"}, "stable"},
		{catalog.SuiteInfo{Location: flat}, flat.String()},
		{catalog.SuiteInfo{Codename: "-"}, "-"},
	}
	for _, tt := range tests {
		if got := line(tt.suite); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.suite, got, tt.want)
		}
	}
}

func TestPlanIsBounded(t *testing.T) {
	t.Parallel()
	p := newPlan(nil)
	const n = 5*maxPlan + 3
	for i := range n {
		for _, version := range []string{"1.9", "1.10"} {
			p.add(want{Entry: pkg(fmt.Sprintf("p%d_%s_all.deb", i, version)), name: fmt.Sprint("p", i), version: version, used: time.Unix(int64(i), 0)})
		}
		if len(p.wants) >= 2*maxPlan {
			t.Fatalf("%d packages are kept", len(p.wants))
		}
	}
	best := p.best()
	if len(best) != maxPlan {
		t.Fatalf("%d packages are planned, want %d", len(best), maxPlan)
	}
	for i, e := range best {
		if want := fmt.Sprintf("p%d_1.10_all.deb", n-1-i); e.Location.Name() != want {
			t.Fatalf("package %d is %s, want %s", i, e.Location.Name(), want)
		}
	}
}

// dpkg is the judge.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	versions := []string{
		"0", "00", "1", "1.0", "1.0-1", "1.0-2", "1.0-10", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1+deb12u10", "1.0-1~bpo12+1", "1.0~rc1-1",
		"1.0~rc1~git-1", "1.0+dfsg-1", "1.0a-1", "1.0.1-1", "1.9-1", "1.10-1", "2.0-1ubuntu1", "2.0-1ubuntu1.1", "2.0-1build1",
		"1:0.9-1", "0:1.0-1", "20240101", "1.0-1-2", "1.0Z", "1.0z", "1.0+", "1.0-0", "1.000-1",
	}
	for _, a := range versions {
		for _, b := range versions {
			relation := [3]string{"lt", "eq", "gt"}[1+compareVersions(a, b)]
			if err := exec.Command("dpkg", "--compare-versions", a, relation, b).Run(); err != nil {
				t.Errorf("%s is not %s %s: dpkg (of every Debian): %v", a, relation, b, err)
			}
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0~rc1-1", "1.0-1+b1")
	f.Add("1:2", "a-~")
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, back := compareVersions(a, b), compareVersions(b, a); got != -back || got < -1 || got > 1 {
			t.Errorf("%q and %q: %d, the other way round %d", a, b, got, back)
		}
		if got := compareVersions(a, a); got != 0 {
			t.Errorf("%q and itself: %d", a, got)
		}
		if deb, ok := parseName(a); ok && deb.pkg+"_"+deb.version+deb.end != a {
			t.Errorf("%q is read as %+v", a, deb)
		}
	})
}
