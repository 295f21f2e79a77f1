package compare

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// wrkTime is how long wrk runs each time.
const wrkTime = "10s"

// BenchmarkHits takes the requests per second that wrk gets of one held file
// with 32 connections, and the memory after that.
func BenchmarkHits(b *testing.B) {
	wrk := program(b, "wrk")
	archive := aptest.NewArchive(aptest.NewKey("archive"))
	files := []aptest.File{
		archive.Add(aptest.Package{Name: "small", Version: "1.0-1", Size: 50 << 10}),
		archive.Add(aptest.Package{Name: "large", Version: "1.0-1", Size: 1 << 20}),
	}
	mirror := aptest.NewMirror(b, aptest.MirrorOptions{Listen: freeAddr(b)})
	mirror.Publish("/debian", archive.Publish(time.Now()))
	keys := b.TempDir()
	write(b, filepath.Join(keys, "archive.gpg"), string(aptest.NewKey("archive").Public()))
	base := "/" + mirror.Addr() + "/debian/"

	subjects := []subject{
		startMillpond(b, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS="+mirror.Addr()),
		startNginx(b, mirror.Addr()),
		startACNG(b),
	}
	for _, s := range subjects {
		s.get(b, base+"dists/stable/InRelease")
		s.get(b, base+"dists/stable/main/binary-amd64/Packages.gz")
		for _, f := range files {
			if got := s.get(b, base+f.Path); !bytes.Equal(got, f.Data) {
				b.Fatalf("%s sends %d other bytes for %s", s.name, len(got), f.Path)
			}
		}
	}
	asked := mirror.Requests("*.deb")

	var table strings.Builder
	for b.Loop() {
		fmt.Fprintf(&table, "requests per second, median of %d (all), MB/s\n", rounds)
		for _, f := range files {
			fmt.Fprintf(&table, "%d bytes, load %s\n", len(f.Data), load(b))
			rates := make(map[string][]float64)
			for range rounds {
				for _, s := range subjects {
					rates[s.name] = append(rates[s.name], requests(b, wrk, s.url+base+f.Path))
				}
			}
			best := median(rates[subjects[0].name])
			for _, s := range subjects {
				m := median(rates[s.name])
				fmt.Fprintf(&table, "  %-14s %7.0f %v, %.0f MB/s, millpond has %.2f of it\n",
					s.name, m, fmt.Sprintf("%.0f", rates[s.name]), m*float64(len(f.Data))/1e6, best/m)
			}
		}
		table.WriteString("resident memory after it\n")
		for _, s := range subjects {
			fmt.Fprintf(&table, "  %-14s %s\n", s.name, s.memory(b))
		}
	}
	if again := mirror.Requests("*.deb"); again != asked {
		b.Errorf("the mirror was asked %d times while all was held", again-asked)
	}
	fmt.Print(table.String())
}

var rate = regexp.MustCompile(`Requests/sec:\s*([0-9.]+)`)

// requests runs wrk and returns requests per second.
func requests(b *testing.B, wrk, url string) float64 {
	out, err := exec.CommandContext(b.Context(), wrk, "-t2", "-c32", "-d"+wrkTime, url).CombinedOutput()
	m := rate.FindSubmatch(out)
	if err != nil || m == nil || bytes.Contains(out, []byte("Non-2xx")) {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	if i := bytes.Index(out, []byte("Socket errors")); i >= 0 {
		fmt.Fprintf(os.Stderr, "%s\n", out[i:])
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
