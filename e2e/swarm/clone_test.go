package swarm

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/e2e/internal/box"
)

// clone copies the data of a box, which does not run, to where another one will look.
func clone(t *testing.T, from, to *box.Box) {
	t.Helper()
	if err := os.RemoveAll(to.Data); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to.Data, os.DirFS(from.Data)); err != nil {
		t.Fatal(err)
	}
}

// saysTwin reports whether a box says that another one has its identity, with the cure.
func saysTwin(t *testing.T, b *box.Box) bool {
	t.Helper()
	resp, err := http.Get(b.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/readyz: %s: %s, %v", resp.Status, text, err)
	}
	return strings.Contains(string(text), "same identity key") && strings.Contains(string(text), filepath.Join(b.Data, "identity.key"))
}

// TestClonedIdentity has two boxes with the data of one, on a network segment where they
// find each other by mDNS, and beside a third box without that. Both say so; once one of
// them has a new identity, neither does after a restart, and others tell them apart.
func TestClonedIdentity(t *testing.T) {
	for _, local := range []bool{true, false} {
		t.Run(map[bool]string{true: "on a segment", false: "beside a third box"}[local], func(t *testing.T) {
			w := box.NewNetwork(t, 76)
			s := newSwarm(t, nil)
			hosts := []*box.Host{w.Host(), w.Host()}
			settings := []string{"MILLPOND_SWARM_LOCAL=true"}
			if !local {
				third := w.Host()
				s.addIn([]*box.Host{third})
				settings = []string{s.bootstrap()}
			}
			var twins []*box.Box
			for _, h := range hosts {
				b := box.StartIn(t, h, settings...)
				b.Stop()
				twins = append(twins, b)
			}
			clone(t, twins[0], twins[1])
			for _, b := range twins {
				b.Run()
			}
			for _, b := range twins {
				b.Until("the box says that there is another one", func() bool { return saysTwin(t, b) })
			}

			for _, b := range twins {
				b.Stop()
			}
			if err := os.Remove(filepath.Join(twins[1].Data, "identity.key")); err != nil {
				t.Fatal(err)
			}
			for _, b := range twins {
				b.Run()
			}
			witness, others := twins[0], 1
			if !local { // without a key the two do not dial each other at private addresses
				witness, others = s.boxes[0], 2
			}
			witness.Until("the two are boxes of their own", func() bool { return len(witness.Peers()) == others })
			for i, b := range twins {
				if saysTwin(t, b) {
					t.Errorf("box %d still says that another one has its identity", i)
				}
			}
		})
	}
}
