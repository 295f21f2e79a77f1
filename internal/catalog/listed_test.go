package catalog

import (
	"slices"
	"strings"
	"testing"
)

func TestIndices(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	files := make(map[string][]byte)
	for _, p := range []string{
		"main/binary-amd64/Packages", "main/binary-amd64/Packages.xz", "main/binary-amd64/Packages.gz", "main/binary-arm64/Packages.xz",
		"main/source/Sources.xz", "main/source/Sources.gz", "contrib/binary-amd64/Packages.xz", "contrib/source/Sources.xz",
		"main/debian-installer/binary-amd64/Packages.xz", "main/i18n/Translation-en.xz", "main/Contents-amd64.gz",
		"main/binary-all/Packages.xz",
	} {
		files[p] = []byte(p)
	}
	copied := lists(files)
	copied.Release = append([]byte("No-Support-for-Architecture-all: Packages\n"), copied.Release...)
	if _, err := c.learnRelease(at(t, suiteURL), copied); err != nil {
		t.Fatal(err)
	}
	const apart = archiveURL + "/dists/apart"
	if _, err := c.learnRelease(at(t, apart), lists(files)); err != nil {
		t.Fatal(err)
	}
	flat := map[string][]byte{"Packages": []byte("1"), "Packages.gz": []byte("2"), "Sources.gz": []byte("3")}
	if _, err := c.learnRelease(at(t, hostURL+"/flat"), lists(flat)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		url  string
		w    Wanted
		want string
	}{
		{suiteURL, Wanted{}, ""},
		{suiteURL, Wanted{Components: []string{"main"}, Architectures: []string{"amd64"}}, "main/binary-amd64/Packages.xz main/binary-amd64/Packages.gz main/binary-amd64/Packages"},
		{suiteURL, Wanted{Components: []string{"main", "contrib"}, Sources: true}, "contrib/source/Sources.xz | main/source/Sources.xz main/source/Sources.gz"},
		{suiteURL, Wanted{Components: []string{"main"}, Architectures: []string{"arm64", "riscv64"}}, "main/binary-arm64/Packages.xz"},
		{apart, Wanted{Components: []string{"main"}, Architectures: []string{"arm64"}}, "main/binary-all/Packages.xz | main/binary-arm64/Packages.xz"},
		{apart, Wanted{Components: []string{"contrib"}, Architectures: []string{"amd64"}, Sources: true}, "contrib/binary-amd64/Packages.xz | contrib/source/Sources.xz"},
		{apart, Wanted{Components: []string{"main"}, Sources: true}, "main/source/Sources.xz main/source/Sources.gz"},
		{suiteURL, Wanted{Components: []string{"main"}, Architectures: []string{"all"}}, "main/binary-all/Packages.xz"},
		{suiteURL, Wanted{Components: []string{"non-free"}, Architectures: []string{"amd64"}, Sources: true}, ""},
		{hostURL + "/flat", Wanted{Architectures: []string{"amd64"}}, "Packages.gz Packages"},
		{hostURL + "/flat", Wanted{Sources: true}, "Sources.gz"},
		{hostURL + "/other", Wanted{Sources: true}, ""},
	} {
		listed, err := c.Indices(at(t, tt.url), tt.w)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, forms := range listed {
			var paths []string
			for _, e := range forms {
				rel, _ := e.Location.beneath(at(t, tt.url))
				if paths = append(paths, rel); !e.Index || e.Suite != at(t, tt.url) || e.Kind != Content {
					t.Errorf("%+v", e)
				}
			}
			got = append(got, strings.Join(paths, " "))
		}
		slices.Sort(got)
		if s := strings.Join(got, " | "); s != tt.want {
			t.Errorf("%s %+v:\ngot  %s\nwant %s", tt.url, tt.w, s, tt.want)
		}
	}
}
