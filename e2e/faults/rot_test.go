package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
)

const (
	rotClients = 4
	adminToken = "correct-horse-battery-staple"
)

// Files of a box that are truncated or deleted while it serves are fetched again, and
// nobody gets wrong bytes of them, nor of a Release file in any case. A bit that flips in
// a package reaches clients until the box hashes the file.
func TestRot(t *testing.T) {
	rng := chance(t)
	a := newArchive(t)
	a.add(rng, 30, 4e6)
	a.publish()
	r := &rot{T: t, r: rng, archive: a, box: a.start(t, "MILLPOND_ADMIN_TOKEN="+adminToken), count: make(map[string]int)}
	r.crowd, r.blobs = newCrowd(t, r.box, a), newBlobs(r.box.Data)
	r.crowd.keep = true
	r.settle(nil)
	n := rounds(rotRounds, 6)
	for round := range n {
		r.round(round)
	}
	r.checkHealth()
	if r.count["flip"] == 0 || r.count["truncate"] == 0 || r.count["delete"] == 0 || r.count["remove all"] == 0 {
		t.Errorf("damage done: %v", r.count)
	}
	t.Logf("| %d rounds, damage %v | %d files to clients, %d cut | wrong ones: of flipped packages and indices %d, cut off on their way %d, others %d | flipped files that were still there, and hashed, %d |",
		n, r.count, r.gets, r.cut, r.wrongFlipped, r.onTheWay, r.wrong, r.hashed)
}

type rot struct {
	*testing.T
	r       *rand.Rand
	archive *archive
	box     *box.Box
	crowd   *crowd
	blobs   *blobs

	count               map[string]int // damage done, by kind
	gets, cut           int
	wrongFlipped, wrong int
	onTheWay            int                // files of which the kernel still had a page that was cut off then
	cuts                map[string][]int64 // where files were truncated in this round, by path
	hashed              int                // flipped files that were still there
}

// settle gets every file that clients ask for, but for those in flipped.
func (r *rot) settle(flipped map[string][32]byte) {
	for kind, files := range r.archive.files {
		for path, sum := range files {
			if _, bad := flipped[path]; bad {
				continue
			}
			if err := r.crowd.get(r.Context(), path, 0); err != nil {
				r.Errorf("after the damage: %v", err)
			}
			if kind == releases {
				continue // it may have come from memory
			}
			if got, err := hashFile(r.blobs.path(sum)); err != nil || got != sum {
				r.Errorf("%s was got, and its blob is %x, %v", path, got, err)
			}
		}
	}
}

// round damages some files while clients get them, and checks what they and later ones
// get.
func (r *rot) round(round int) {
	r.crowd.reset()
	r.cuts = make(map[string][]int64)
	ctx, cancel := context.WithCancel(r.Context())
	wait := r.crowd.run(ctx, r.r, rotClients)
	flipped := make(map[string][32]byte) // packages and indices, by path
	for range 8 {
		time.Sleep(between(r.r, 0, 150*time.Millisecond)) // the instants
		r.damage(r.archive.choose(r.r), flipped)
	}
	if round%3 == 2 {
		r.removeAll()
	}
	time.Sleep(between(r.r, 0, 300*time.Millisecond)) // for clients to meet the last damage
	cancel()
	wait()
	r.checkClients(round, flipped)

	r.crowd.reset()
	r.settle(flipped)
	for path, sum := range flipped {
		r.checkFlipped(path, sum)
	}
	if len(r.crowd.refused) > 0 || r.crowd.cut > 0 {
		r.Errorf("round %d: after the damage, refusals %v, and %d answers cut", round, r.crowd.refused, r.crowd.cut)
	}
}

// checkClients checks what came to the clients during a round.
func (r *rot) checkClients(round int, flipped map[string][32]byte) {
	c := r.crowd
	r.gets, r.cut = r.gets+c.gets, r.cut+c.cut
	if len(c.refused) > 0 {
		r.Errorf("round %d: refusals %v", round, c.refused)
	}
	for path, n := range c.wrong {
		if _, ok := flipped[path]; ok {
			r.wrongFlipped += n
			continue
		}
		for _, body := range c.kept[path] {
			if r.wasOnTheWay(path, body) {
				r.onTheWay++
				n--
			}
		}
		if n == 0 {
			continue
		}
		r.wrong += n
		r.Errorf("round %d: %d clients got %s in full with wrong bytes", round, n, path)
	}
}

// maxPage is more than the kernel has in one page of a file.
const maxPage = 2 << 20

// wasOnTheWay reports whether wrong bytes are the kernel's doing: it sends files without
// copying them, and when one is truncated it clears the rest of the page at that place,
// also in what is on its way to a client already. Release files are not sent so.
func (r *rot) wasOnTheWay(path string, got []byte) bool {
	want := r.archive.now.File(strings.TrimPrefix(path, "/debian/"))
	if len(got) != len(want) || kindOf(strings.TrimPrefix(path, "/debian/")) == releases {
		return false
	}
	for _, cut := range r.cuts[path] {
		end := min(cut+maxPage, int64(len(want)))
		cleared := bytes.TrimLeft(got[cut:end], "\x00")
		rest := int64(len(got)) - int64(len(got[end:])) - int64(len(cleared))
		if bytes.Equal(got[:cut], want[:cut]) && bytes.Equal(got[rest:], want[rest:]) {
			return true
		}
	}
	return false
}

// damage does random damage to the blob of a path, and notes in flipped those of which
// wrong bytes may reach clients.
func (r *rot) damage(path string, flipped map[string][32]byte) {
	kind := kindOf(strings.TrimPrefix(path, "/debian/"))
	sum := r.archive.files[kind][path]
	file := r.blobs.path(sum)
	info, err := os.Stat(file)
	if err != nil {
		return // it is being fetched
	}
	what := ""
	switch r.r.IntN(3) {
	case 0:
		what = "flip"
		if kind != releases {
			flipped[path] = sum
		}
		err = flip(file, r.r.Int64N(info.Size()), 1<<r.r.IntN(8))
	case 1:
		at := r.r.Int64N(info.Size())
		r.cuts[path] = append(r.cuts[path], at)
		what, err = "truncate", os.Truncate(file, at)
	case 2:
		what, err = "delete", os.Remove(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return // the box was quicker
	}
	if err != nil {
		r.Fatal(err)
	}
	r.count[what]++
}

// flip changes bits of a byte of a file.
func flip(file string, at int64, bits byte) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= bits
	_, err = f.WriteAt(b, at)
	return err
}

// removeAll removes the directory of all blobs.
func (r *rot) removeAll() {
	gone := filepath.Join(filepath.Dir(r.box.Data), "gone")
	if err := errors.Join(os.Rename(r.blobs.dir, gone), os.RemoveAll(gone)); err != nil {
		r.Fatal(err)
	}
	r.count["remove all"]++
}

// checkFlipped has the box hash a file with a flipped bit, if it is still there: what was
// hashed within the hour is not hashed again for clients that come back.
func (r *rot) checkFlipped(path string, sum [32]byte) {
	damaged := func() bool {
		got, err := hashFile(r.blobs.path(sum))
		return err == nil && got != sum
	}
	if damaged() {
		r.hash(sum)
		r.hashed++
	}
	if damaged() {
		r.Errorf("%s was found damaged and is still there", path)
	}
	r.crowd.reset()
	if err := r.crowd.get(r.Context(), path, 0); err != nil || len(r.crowd.wrong) > 0 {
		r.Errorf("after the box found damage: %v, wrong are %v", err, r.crowd.wrong)
	}
}

// hash has the box hash a file, as its scrub does in the course of a month.
func (r *rot) hash(sum [32]byte) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, fmt.Sprintf("%s/api/v1/blobs/%x/verify", r.box.URL, sum), http.NoBody)
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusConflict {
		r.Errorf("hashing a damaged file: %s", resp.Status)
	}
}

// checkHealth checks that /readyz tells of the damage.
func (r *rot) checkHealth() {
	var health api.Readiness
	if err := json.Unmarshal(r.box.Get("/readyz"), &health); err != nil {
		r.Fatal(err)
	}
	for _, want := range []string{"were found damaged", "disappeared from blobs/"} {
		if !strings.Contains(fmt.Sprint(health.Faults), want) {
			r.Errorf("/readyz says nothing of files that %s: %+v", want, health)
		}
	}
}
