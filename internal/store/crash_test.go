package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/kv"
)

const childEnv = "MILLPOND_STORE_CRASH_DIR"

// crashSize is the size of the blob that the crash child fills as a Partial,
// crashStep that of one write.
const (
	crashSize = 24 << 20
	crashStep = 2*blockSize + 100
)

// crashChild puts blobs, prints each once it is stored, and then writes the large
// blob as a Partial, until it is killed.
func crashChild(dir string, large digest.Digest) {
	log := slog.New(slog.DiscardHandler)
	fatal := func(err error) {
		if err != nil {
			fmt.Println("fault", err)
			os.Exit(1)
		}
	}
	db, err := kv.Open(filepath.Join(dir, "kv"), log)
	fatal(err)
	s, err := Open(Options{Dir: dir, Table: db.Table("blobs"), Quota: Quota{Bytes: 1 << 30}, Log: log})
	fatal(err)
	p, err := s.Partial(large, crashSize)
	fatal(err)
	fmt.Println("resumed", p.Available(0))
	rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for {
		seed, n := rnd.IntN(1<<24), rnd.IntN(200_000)
		data, d := content(seed, n)
		fatal(s.Put(d, int64(n), bytes.NewReader(data), Meta{}))
		fatal(s.Annotate(d, Meta{Name: fmt.Sprintf("package%d_1_all.deb", seed%100)}))
		fmt.Println("stored", d)
		if seed%4 == 0 {
			fmt.Println("removing", d)
			fatal(s.Remove(d))
		}
		off := p.Available(0)
		if off < crashSize-4*blockSize {
			_, err = p.WriteTrusted(crashContent(off, crashStep), off)
			fatal(err)
			fmt.Println("written", p.Available(0))
		}
	}
}

// crashContent returns n bytes of the large blob, each eight of which are
// their own offset.
func crashContent(off, n int64) []byte {
	from := off &^ 7
	b := make([]byte, 0, n+16)
	for at := from; at < off+n; at += 8 {
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
	}
	return b[off-from:][:n]
}

// TestKill kills a busy process at random instants. Whatever it had said to be
// stored must be there, and whole.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	dir, large := t.TempDir(), digest.Of(crashContent(0, crashSize))
	stored := make(map[digest.Digest]bool)
	var written int64
	for round := range 6 {
		resumed := runChild(t, dir, large, stored, &written, time.Duration(50+rand.IntN(300))*time.Millisecond)
		if resumed > written+crashStep { // one write may not have been printed
			t.Errorf("round %d: resumed %d bytes of %d", round, resumed, written)
		}
	}
	b := &box{t: t, dir: dir, quota: 1 << 30}
	b.start()
	t.Cleanup(b.stop)
	for d := range stored {
		data, err := readBlob(b.Store, d)
		if err != nil || digest.Of(data) != d {
			t.Errorf("a blob that was stored: %d bytes, %v", len(data), err)
		}
		if i, err := b.Stat(d); err != nil || i.Name == "" {
			t.Errorf("a blob that was given a name: %+v, %v", i, err)
		}
	}
	t.Logf("%d blobs stored, %d bytes of the partial written", len(stored), written)
	b.check()
	p, err := b.Partial(large, crashSize)
	if err != nil {
		t.Fatal(err)
	}
	// The map is at most 4 MiB and a write behind. If it has more than was
	// printed, the bytes must still be there: the digest of the whole decides.
	if got := p.Available(0); got < written-saveBytes-2*crashStep {
		t.Errorf("resumed %d bytes, of %d written", got, written)
	}
	if got, want := p.Trusted(0), p.Available(0); got != want {
		t.Errorf("%d bytes are trusted after the restart, want %d", got, want)
	}
	for _, r := range p.Missing() {
		if _, err := p.WriteAt(crashContent(r.Off, r.End-r.Off), r.Off); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Commit(Meta{}); err != nil {
		t.Error(err)
	}
	b.check()
}

// runChild runs the child for about life and notes what it said: what is
// stored, and how far the partial blob had come. It returns how much of that
// was there at its start.
func runChild(t *testing.T, dir string, large digest.Digest, stored map[digest.Digest]bool, written *int64, life time.Duration) (resumed int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], large.String())
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	var killer *time.Timer
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break // of a line cut short, nothing is known
		}
		if err != nil {
			t.Fatal(err)
		}
		what, fact, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "resumed":
			fmt.Sscan(fact, &resumed)
			// From here on, so that a slow start does not eat up its life.
			killer = time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
			defer killer.Stop()
		case "written":
			fmt.Sscan(fact, written)
		case "stored", "removing":
			d, err := digest.Parse(fact)
			if err != nil {
				t.Fatal(err)
			}
			if delete(stored, d); what == "stored" {
				stored[d] = true
			}
		default:
			t.Errorf("the child says: %s", line)
		}
	}
	_ = cmd.Wait() // killed
	return resumed
}
