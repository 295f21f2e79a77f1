package compare

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

// The archive of BenchmarkCPU: an index as long as that of Debian's main, and as many
// packages from it as an installation of a desktop downloads. Their sizes are distributed
// as those of Debian's packages are, about.
const (
	listed     = 60_000
	downloaded = 450
	meanSize   = 580_000
)

// archive is what a mirror has, by path.
type archive struct {
	files   map[string][]byte
	indices []string
	debs    []string
}

// newArchive makes the same archive each time.
func newArchive(b *testing.B, key *aptest.Key) *archive {
	random := rand.NewChaCha8([32]byte{1})
	pick := rand.New(random)
	noise := make([]byte, 16<<20)
	_, _ = random.Read(noise) // returns no error
	a := &archive{files: map[string][]byte{}}
	var packages, translations bytes.Buffer
	for i := range listed {
		name := fmt.Sprintf("lib%x-%d", pick.Uint32(), i)
		path := fmt.Sprintf("pool/main/%c/%s/%s_1.%d-1_amd64.deb", name[0], name, name, i%7)
		size, sum := 1000+i, sha256.Sum256([]byte(path))
		if i%(listed/downloaded) == 0 && len(a.debs) < downloaded {
			// The mean of a log-normal distribution is e^(µ+σ²/2).
			const sigma = 1.8
			size = int(math.Exp(math.Log(meanSize) - sigma*sigma/2 + sigma*pick.NormFloat64()))
			size = min(max(size, 1000), len(noise)-1)
			at := pick.IntN(len(noise) - size)
			data := noise[at : at+size]
			sum = sha256.Sum256(data)
			a.files["/debian/"+path] = data
			a.debs = append(a.debs, "debian/"+path)
		}
		fmt.Fprintf(&packages, "Package: %[1]s\nSource: %[1]s-source\nVersion: 1.%[2]d-1\nInstalled-Size: %[3]d\nMaintainer: Somebody <%[1]s@example.org>\nArchitecture: amd64\n"+
			"Depends: libc6 (>= 2.%[4]d), libgcc-s1 (>= 3.0), lib%[5]x (= 1.%[2]d-1), libstdc++6 (>= 12)\nDescription: what %[1]s is for in a line\nMulti-Arch: same\nHomepage: https://%[1]s.example.org/\n"+
			"Description-md5: %[6]x\nTag: implemented-in::c, role::shared-lib\nSection: libs\nPriority: optional\nFilename: %[7]s\nSize: %[8]d\nMD5sum: %[6]x\nSHA256: %[9]x\n\n",
			name, i%7, size/900, i%40, pick.Uint32(), sum[:16], path, size, sum)
		fmt.Fprintf(&translations, "Package: %s\nDescription-md5: %x\nDescription-en: what %[1]s is for in a line\n It is for %[3]x and %[4]x, mostly, and more.\n\n", name, sum[:16], pick.Uint64(), pick.Uint64())
	}
	now := time.Now().UTC().Truncate(time.Second)
	release := fmt.Appendf(nil, "Origin: Debian\nSuite: stable\nCodename: stable\nArchitectures: amd64\nComponents: main\nAcquire-By-Hash: yes\nDate: %s\nSHA256:\n", now.Format("Mon, 02 Jan 2006 15:04:05 UTC"))
	for name, data := range map[string][]byte{"main/binary-amd64/Packages": packages.Bytes(), "main/i18n/Translation-en": translations.Bytes()} {
		packed := xz(b, data)
		for name, data := range map[string][]byte{name: data, name + ".xz": packed} {
			release = fmt.Appendf(release, " %x %d %s\n", sha256.Sum256(data), len(data), name)
		}
		byHash := filepath.Dir(name) + fmt.Sprintf("/by-hash/SHA256/%x", sha256.Sum256(packed))
		a.files["/debian/dists/stable/"+name+".xz"] = packed
		a.files["/debian/dists/stable/"+byHash] = packed
		a.indices = append(a.indices, "debian/dists/stable/"+byHash)
	}
	a.files["/debian/dists/stable/InRelease"] = aptest.Clearsign(release, now, key)
	return a
}

// smallest returns the packages with the fewest bytes.
func (a *archive) smallest(n int) []string {
	return slices.SortedFunc(slices.Values(a.debs), func(x, y string) int { return len(a.files["/"+x]) - len(a.files["/"+y]) })[:n]
}

func xz(b *testing.B, data []byte) []byte {
	cmd := exec.Command("xz", "-1", "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, ok := a.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(data)))
	http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(data))
}

// pipelined gets files as apt does, with up to ten requests under way on one connection.
func pipelined(b *testing.B, addr string, paths []string) (total int64) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	sent := 0
	for i := range paths {
		for ; sent < len(paths) && sent < i+10; sent++ {
			fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\nAccept: text/*\r\n\r\n", paths[sent], addr)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(paths[i], resp.Status, err)
		}
		total += n
	}
	return total
}

func processorOf(b *testing.B, pid int) time.Duration {
	used, err := processorTime(pid)
	if err != nil {
		b.Fatal(err)
	}
	return used
}

// BenchmarkCPU takes the processor time that a box needs for what apt asks for when it
// updates its lists and downloads 450 packages, first cold and then warm; and for 10,000
// requests for small ones that no answer is repeated for, as they are pipelined.
func BenchmarkCPU(b *testing.B) {
	key := aptest.NewKey("archive")
	a := newArchive(b, key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: a}
	go func() { _ = server.Serve(l) }() // returns when it is closed
	b.Cleanup(func() { server.Close() })
	keys := b.TempDir()
	write(b, filepath.Join(keys, "archive.gpg"), string(key.Public()))
	mirror := l.Addr().String()
	of := func(paths ...string) (all []string) {
		for _, p := range paths {
			all = append(all, mirror+"/"+p)
		}
		return all
	}
	for b.Loop() {
		m := box.Start(b, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS="+mirror)
		addr := strings.TrimPrefix(m.URL, "http://")
		last := processorOf(b, m.PID())
		var whole time.Duration
		step := func(what string, do func() int64) {
			begun := time.Now()
			n := do()
			now := processorOf(b, m.PID())
			used := now - last
			whole += used
			fmt.Printf("%-16s %4d MB %6.2f s, processor %5.2f s\n", what, n>>20, time.Since(begun).Seconds(), used.Seconds())
			last = now
		}
		for _, how := range []string{"cold", "warm"} {
			step("update "+how, func() int64 {
				return pipelined(b, addr, of("debian/dists/stable/InRelease")) + pipelined(b, addr, of(a.indices...))
			})
			step("download "+how, func() int64 { return pipelined(b, addr, of(a.debs...)) })
		}
		step("afterwards", func() int64 {
			known := func() bool { return m.Summary().Known >= listed }
			if err := poll.Until(b.Context(), time.Minute, "all files are known", poll.That(known)); err != nil {
				b.Fatal(err)
			}
			return 0
		})
		fmt.Printf("%-16s %5.2f s, %s\n", "processor time", whole.Seconds(), residentTree(b, m.PID()))
		b.ReportMetric(float64(whole.Milliseconds()), "cpu-ms")
		before := whole
		step("10,000 small", func() int64 { return pipelined(b, addr, of(slices.Repeat(a.smallest(200), 50)...)) })
		b.ReportMetric(float64((whole-before).Microseconds())/10_000, "cpu-µs/request")
		m.Stop()
	}
}
