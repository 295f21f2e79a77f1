package deb

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// dpkg decides.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	versions := []string{
		"0", "00", "1", "1.0", "1.0-1", "1.0-2", "1.0-10", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1+deb12u10", "1.0-1~bpo12+1", "1.0~rc1-1",
		"1.0~rc1~git-1", "1.0+dfsg-1", "1.0a-1", "1.0.1-1", "1.9-1", "1.10-1", "2.0-1ubuntu1", "2.0-1ubuntu1.1", "2.0-1build1",
		"1:0.9-1", "0:1.0-1", "20240101", "1.0-1-2", "1.0Z", "1.0z", "1.0+", "1.0-0", "1.000-1",
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 12 { // from what versions are made of
		var b strings.Builder
		b.WriteByte("0123456789"[random.IntN(10)])
		for range random.IntN(8) {
			b.WriteByte("0019.+~azAZ"[random.IntN(11)])
		}
		versions = append(versions, b.String(), b.String()+"-1", "1:"+b.String())
	}
	for _, a := range versions {
		for _, b := range versions {
			relation := [3]string{"lt", "eq", "gt"}[1+CompareVersions(a, b)]
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
		if got, back := CompareVersions(a, b), CompareVersions(b, a); got != -back || got < -1 || got > 1 {
			t.Errorf("%q and %q: %d, the other way round %d", a, b, got, back)
		}
		if got := CompareVersions(a, a); got != 0 {
			t.Errorf("%q and itself: %d", a, got)
		}
	})
}
