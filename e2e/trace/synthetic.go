package main

import (
	"fmt"
	"math"
)

// synthetic makes two generations of so many packages of an architecture, of the shape
// of Debian's: sizes are log-normal with a median of 80 kB and a mean of 1.5 MB, one
// package in sixty changes, six packages a source, one source in five with its upstream, and
// of those one in three under a new name, like the kernel.
func synthetic(packages int) *archive {
	var before, next []stanza
	for i := range packages {
		name := "package-" + letters(i) + "-1"
		source := "source-" + letters(i/6)
		s := stanza{name: name, version: "1.0-1", arch: "amd64", source: source, priority: "optional"}
		if i%100 == 0 {
			s.priority = "important"
		}
		s.size = int64(80_000 * math.Exp(2.42*normal(name)))
		before = append(before, s)
		if chance(source, "changes") > 1.0/60*6 {
			continue
		}
		s.version = fmt.Sprintf("1.0-1+deb12u%d", 1+int(20*chance(source, "updates")))
		if chance(source, "upstream") < 0.2 {
			s.version = "1.1-1"
			if chance(source, "renames") < 1.0/3 {
				s.name = "package-" + letters(i) + "-2"
			}
		}
		next = append(next, s)
	}
	return newArchive([][]stanza{before}, [][]stanza{newest(before, next)})
}

// letters writes a number without digits, which would be taken for a version.
func letters(n int) (s string) {
	for ; n > 0 || s == ""; n /= 26 {
		s += string(rune('a' + n%26))
	}
	return s
}

// normal returns a number of the standard normal distribution that depends on a name.
func normal(name string) float64 {
	return math.Sqrt(-2*math.Log(chance(name, "radius"))) * math.Cos(2*math.Pi*chance(name, "angle"))
}
