package apt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// TestShapes has the real apt use archives of every shape: what it prints, how
// it ends and which files it has must be the same through a box as without.
// `go test -v -run TestShapes` prints a table.
func TestShapes(t *testing.T) {
	s := &shapes{t: t, settings: shapeSettings(t), rows: map[string]*row{}}
	s.first, s.path, s.new = box.Start(t, s.settings...), box.Start(t, s.settings...), box.Start(t, s.settings...)
	all := allShapes()
	t.Run("first", func(t *testing.T) {
		for _, shape := range all {
			t.Run(shape.name, func(t *testing.T) {
				t.Parallel()
				s.begin(t, shape)
			})
		}
	})
	s.first.Stop()
	s.first.Run()
	s.second = box.Start(t, append(slices.Clone(s.settings), "MILLPOND_BOOTSTRAP="+s.first.URL)...)
	s.awaitInventory()
	s.goOn("then", all, false)
	s.goOn("last", all, true)
	if s.shares() && s.second.Summary().PeerBytesIn == 0 {
		t.Error("the second box took nothing from the first one")
	}
	t.Log("| shape | " + strings.Join(columns, " | ") + " |")
	for _, shape := range all {
		if r := s.row(shape.name); r.place != nil {
			t.Log(r)
		}
	}
}

// shapes is the table and the boxes that all of its archives share.
type shapes struct {
	t        *testing.T // outlives what uses the boxes
	settings []string
	// first serves proxy forms, and is started again; path serves path forms,
	// new only clients whose lists are current; second begins beside first.
	first, path, new, second *box.Box

	mu   sync.Mutex
	rows map[string]*row // by shape; guarded by mu
}

// row is a line of the table.
type row struct {
	name   string
	place  *place
	direct result
	cells  map[string]string // by column
}

// columns of the table are the clients, in the order in which they come.
var columns = []string{"direct", "proxy form", "path form", "second client", "new box", "restarted", "second box"}

func (r *row) String() string {
	line := "| " + r.name
	for _, column := range columns {
		line += " | " + r.cells[column]
	}
	return line + " |"
}

func (s *shapes) row(name string) *row {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[name] == nil {
		s.rows[name] = &row{name: name, cells: map[string]string{}}
	}
	return s.rows[name]
}

// allowLoopback allows mirrors at loopback addresses, on any port.
const allowLoopback = "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8"

// shapeSettings are the settings of every box.
func shapeSettings(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("archive.gpg", trusted.Public())
	write("expired.gpg", expired.Public())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	tls := aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})
	if err := os.WriteFile(ca, tls.CertPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{
		"MILLPOND_KEYRING_DIR=" + dir, allowLoopback, "MILLPOND_INDEX_TTL=0s", "SSL_CERT_FILE=" + ca,
	}
}

// begin has clients use an archive that no box has seen.
func (s *shapes) begin(t *testing.T, shape shape) {
	r := s.row(shape.name)
	p := shape.build(builder{t, s.t, ""})
	r.place = p
	v := p.newVisit(t, s.t, direct, nil)
	r.direct = v.all()
	why, failed := r.direct.failed()
	if failed != p.fails {
		t.Fatalf("direct, fails: %v, want %v\n%s%s", failed, p.fails, r.direct.update, r.direct.fetch)
	}
	r.cells["direct"] = "ok"
	if failed {
		r.cells["direct"] = why
	}
	s.compare(t, r, "proxy form", p.newVisit(t, t, byProxy, s.first).all(), r.direct)
	if p.proxyOnly {
		r.cells["path form"] = "-"
	} else {
		s.compare(t, r, "path form", p.newVisit(t, t, byPath, s.path).all(), r.direct)
	}
	s.again(t, r, "second client", s.first)
	if p.live {
		r.cells["new box"] = "-"
		return
	}
	current := p.newVisit(t, t, byProxy, s.new)
	current.lists(v)
	s.compare(t, r, "new box", current.fetched(), r.direct.afterUpdate())
}

// goOn has clients use the archives after the box that has served them was
// started again, and through a box beside that. It takes those that blame, or
// those that do not.
func (s *shapes) goOn(group string, all []shape, blame bool) {
	s.t.Run(group, func(t *testing.T) {
		for _, shape := range all {
			r := s.row(shape.name)
			if r.direct.files == nil || r.place.blames != blame {
				continue
			}
			t.Run(shape.name, func(t *testing.T) {
				t.Parallel()
				poll.Must(t, 30*time.Second, "the signature counts", poll.That(func() bool { return time.Now().After(r.place.signedAt) }))
				s.again(t, r, "restarted", s.first)
				s.again(t, r, "second box", s.second)
			})
		}
	})
}

// again is a client of a box that can have all files, of its own or from
// another box.
func (s *shapes) again(t *testing.T, r *row, name string, b *box.Box) {
	poll.Must(t, 30*time.Second, "the box is at rest", poll.That(func() bool { return b.Summary().Downloads == 0 }))
	p := r.place
	if p.alias {
		p.named = 1
	}
	p.resetCost()
	s.compare(t, r, name, p.newVisit(t, t, byProxy, b).all(), r.direct)
	c := p.cost()
	r.cells[name] += ", " + c.String()
	if _, failed := r.direct.failed(); failed {
		return
	}
	switch {
	case p.patched && (b == s.second || c.onlyIndices()), !p.signedAt.IsZero() && b == s.second:
		// The index that clients make with patches is read by the box itself, once
		// and at its own pace. What counts as signed only now is offered to other
		// boxes a moment later.
	case p.signed && len(c.others) > 0:
		t.Errorf("%s: the box asked the mirror for\n  %s", name, c.paths())
	case b != s.second && c.otherBytes() > 0:
		t.Errorf("%s: the mirror sent again\n  %s", name, c.paths())
	}
}

// compare fails the test if a client fared otherwise than without a box.
func (s *shapes) compare(t *testing.T, r *row, name string, got, want result) {
	diff := got.differences(want)
	if diff == "" {
		r.cells[name] = "ok"
		return
	}
	t.Errorf("%s is not as direct:\n%s", name, diff)
	r.cells[name] = "differs"
	if why, failed := got.failed(); failed {
		r.cells[name] = "**" + why + "**"
	}
}

// shares reports whether the first box has something to share.
func (s *shapes) shares() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.place != nil && r.place.signed && r.cells["proxy form"] == "ok" {
			return true
		}
	}
	return false
}

// awaitInventory waits until the second box knows what the first one shares.
func (s *shapes) awaitInventory() {
	s.second.Until("the second box knows what the first one holds", func() bool {
		var swarm api.Swarm
		if err := json.Unmarshal(s.first.Get("/api/v1/swarm"), &swarm); err != nil {
			s.t.Fatal(err)
		}
		peers := s.second.Peers()
		return len(peers) == 1 && (!s.shares() || peers[0].Held > 0) && peers[0].Held == swarm.ToAnnounce
	})
}
