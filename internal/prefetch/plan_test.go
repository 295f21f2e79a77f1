package prefetch

import (
	"fmt"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/prefetch/uses"
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
		{catalog.SuiteInfo{Codename: "noble", Suite: "noble-backports"}, "noble-backports"},
		{catalog.SuiteInfo{Codename: "experimental"}, "experimental"},
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
			p.add(want{files: []catalog.Entry{pkg(fmt.Sprintf("p%d_%s_all.deb", i, version))}, key: uses.Key{Package: fmt.Sprint("p", i)}, version: version, rank: float64(i)})
		}
		if len(p.wants) >= 2*maxPlan {
			t.Fatalf("%d packages are kept", len(p.wants))
		}
	}
	p.trim()
	best := p.wants
	if len(best) != maxPlan {
		t.Fatalf("%d packages are planned, want %d", len(best), maxPlan)
	}
	for i, w := range best {
		if want := fmt.Sprintf("p%d_1.10_all.deb", n-1-i); w.files[0].Location.Name() != want {
			t.Fatalf("package %d is %s, want %s", i, w.files[0].Location.Name(), want)
		}
	}
}
