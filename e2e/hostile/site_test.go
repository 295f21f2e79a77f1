package hostile

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/dishonest"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// network is the third byte of the addresses; scenarios run one after the other.
const network = 81

// kind is what the dishonest boxes are to the honest ones.
type kind string

const (
	stranger kind = "stranger"
	local    kind = "local"
	member   kind = "member"
)

// key is that of the swarms of members.
var key = strings.Repeat("0123456789abcdef", 4)

// archive is what the boxes of a scenario download.
type archive struct {
	dir        string // has files for the dishonest boxes, and the keyring
	generation *aptest.Generation
	key        *aptest.Key
	sizes      []int // of what the packages contain
	files      []aptest.File
	listed     []dishonest.File
}

func newArchive(t *testing.T, sizes []int) *archive {
	t.Helper()
	a := &archive{dir: t.TempDir(), sizes: sizes, key: aptest.NewKey("archive")}
	keys := filepath.Join(a.dir, "keys")
	if err := errors.Join(os.Mkdir(keys, 0o755), os.WriteFile(filepath.Join(keys, "archive.gpg"), a.key.Public(), 0o644)); err != nil {
		t.Fatal(err)
	}
	all := aptest.NewArchive(a.key)
	for i, size := range sizes {
		f := all.Add(aptest.Package{Name: fmt.Sprintf("pkg%02d", i), Version: "1.0", Size: size})
		a.files = append(a.files, f)
		l := dishonest.File{Digest: digest.Of(f.Data), Path: filepath.Join(a.dir, filepath.Base(f.Path)), Size: int64(len(f.Data))}
		if err := os.WriteFile(l.Path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
		a.listed = append(a.listed, l)
	}
	a.generation = all.Publish(time.Now().Add(-time.Hour))
	return a
}

// site is a network with boxes, their clients and a mirror far away.
type site struct {
	t         *testing.T
	archive   *archive
	network   *box.Network
	mirror    *mirror
	hosts     []*box.Host
	boxes     []*box.Box
	clients   []*http.Client
	ids       []string         // peer IDs of the boxes
	dishonest []*dishonest.Box // their processes
}

func newSite(t *testing.T, a *archive) *site {
	t.Helper()
	w := box.NewNetwork(t, network)
	return &site{t: t, archive: a, network: w, mirror: newMirror(t, w.IP, a.generation)}
}

// add starts n boxes that know those before them.
func (s *site) add(n int, settings ...string) {
	s.t.Helper()
	for range n {
		s.addOn(s.network.Host(), settings...)
	}
}

// addOn starts a box on a host.
func (s *site) addOn(h *box.Host, settings ...string) {
	s.t.Helper()
	var known []string
	for _, b := range s.boxes {
		known = append(known, b.URL)
	}
	b := box.StartIn(s.t, h, append([]string{"MILLPOND_KEYRING_DIR=" + filepath.Join(s.archive.dir, "keys"),
		"MILLPOND_ALLOW_UPSTREAMS=10.231.0.0/16", "MILLPOND_BOOTSTRAP=" + strings.Join(known, ",")}, settings...)...)
	s.hosts, s.boxes = append(s.hosts, h), append(s.boxes, b)
	proxy, err := url.Parse(b.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	s.clients = append(s.clients, &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}})
	s.t.Cleanup(s.clients[len(s.clients)-1].CloseIdleConnections)
}

// settings are those of honest boxes to which others are of the kind.
func settings(k kind) []string {
	switch k {
	case stranger: // the upper half of the addresses may not use the boxes
		return []string{fmt.Sprintf("MILLPOND_ALLOW_CLIENTS=10.231.%d.0/25", network)}
	case member:
		return []string{"MILLPOND_SWARM_KEY=" + key}
	}
	return nil
}

// identify asks each box for its peer ID and addresses.
func (s *site) identify() (addrs []string) {
	s.t.Helper()
	s.ids = nil
	for _, b := range s.boxes {
		var id api.Identity
		if err := json.Unmarshal(b.Get(api.IdentityPath), &id); err != nil {
			s.t.Fatal(err)
		}
		s.ids = append(s.ids, id.ID)
		addrs = append(addrs, id.Addrs...)
	}
	return addrs
}

// connected waits until each box is connected with all others, and knows the dishonest
// ones as k, with all that they list.
func (s *site) connected(k kind, kinds []dishonest.Kind) {
	s.t.Helper()
	for i, b := range s.boxes {
		poll.Must(s.t, time.Minute, fmt.Sprintf("box %d is connected with all", i), func() error {
			peers := make(map[string]api.Peer)
			for _, p := range b.Peers() {
				peers[p.ID] = p
			}
			for j, id := range s.ids {
				if p, ok := peers[id]; j != i && (!ok || p.Kind == string(stranger)) {
					return fmt.Errorf("box %d is there: %t, %q", j, ok, p.Kind)
				}
			}
			for j, d := range s.dishonest {
				for id := range d.IDs {
					p, ok := peers[id]
					if !ok || p.Kind != string(k) || k != stranger && kinds[j].Listing() && p.Held < int64(len(s.archive.listed)) {
						return fmt.Errorf("dishonest box %d is there: %t, %q, holds %d", j, ok, p.Kind, p.Held)
					}
				}
			}
			return nil
		})
	}
}

// join starts dishonest boxes, and waits until they are known.
func (s *site) join(k kind, kinds []dishonest.Kind) {
	s.t.Helper()
	addrs := s.identify()
	for i, d := range kinds {
		c := dishonest.Config{Kind: d, Seed: byte(i + 1), Bootstrap: addrs, Files: s.archive.listed}
		if d == dishonest.Forged {
			c.Seed = 1 // they agree
		}
		if k == member {
			c.Key = key
		}
		s.dishonest = append(s.dishonest, dishonest.Start(s.t, s.network.HostAt(130+i), c))
	}
	s.connected(k, kinds)
	for _, d := range s.dishonest {
		d.Announced()
	}
}

// update has the client of each box fetch the archive's Release and index.
func (s *site) update() {
	s.t.Helper()
	for i := range s.boxes {
		for _, name := range []string{"dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.xz"} {
			if _, err := s.get(s.t.Context(), i, name); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// get fetches a file of the archive through a box, once, as apt does that was told not
// to retry, and returns the digest of what came.
func (s *site) get(ctx context.Context, i int, name string) (digest.Digest, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.mirror.base+"/debian/"+name, nil)
	if err != nil {
		return digest.Digest{}, err
	}
	resp, err := s.clients[i].Do(req)
	if err != nil {
		return digest.Digest{}, err
	}
	defer resp.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, resp.Body); err != nil {
		return digest.Digest{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return digest.Digest{}, fmt.Errorf("%s: %s", name, resp.Status)
	}
	return digest.Digest(h.Sum(nil)), nil
}

// liars are the peer IDs of the dishonest boxes.
func (s *site) liars() map[string]bool {
	all := make(map[string]bool)
	for _, d := range s.dishonest {
		maps.Copy(all, d.IDs)
	}
	return all
}

// takers are the boxes that get the i-th file, which begin with another one each time.
func (s *site) takers(i, n int) []int {
	var all []int
	for j := range s.boxes {
		all = append(all, (i+j)%len(s.boxes))
	}
	if n > 0 {
		all = all[:min(n, len(all))]
	}
	return slices.Clip(all)
}
