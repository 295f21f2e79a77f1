package swarm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

func init() {
	roles["alive"] = deadNear
	roles["dead"] = deadFar
}

// TestDeadOwner pulls the cable to the box that ranks first for 50 files, which
// closes no connection. Only the first request waits for it, and the box is an
// owner again when the cable is back.
func TestDeadOwner(t *testing.T) {
	t.Parallel()
	t.Log(play(t, "alive"))
}

func deadNear() error {
	const files = 50
	far, orders, answers, err := cable("dead")
	if err != nil {
		return err
	}
	contact, err := answers.ReadString('\n')
	if err != nil {
		return err
	}
	b, err := start(func(o *settings) {
		o.Listen = []string{"/ip4/10.77.0.1/tcp/0"}
		o.Bootstrap = []string{strings.TrimSpace(contact)}
	})
	if err != nil {
		return err
	}
	var theirs []digest.Digest
	i := 0
	if err := wait("files of the owner", func() bool {
		if d := nth(0, i); len(b.Owners(d)) == 1 {
			theirs = append(theirs, d)
		}
		i++
		return len(theirs) == files
	}); err != nil {
		return err
	}
	if _, err := b.Owners(theirs[0])[0].Open(context.Background(), theirs[0], peer.Request{Fetch: peer.FetchAnywhere}); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("while it lives the owner says: %w", err)
	}
	if err := tell(orders, answers, "pull"); err != nil {
		return err
	}
	begun := time.Now()
	asked := 0
	for _, d := range theirs {
		for _, p := range b.Owners(d) {
			asked++
			if _, err := p.Open(context.Background(), d, peer.Request{Fetch: peer.FetchAnywhere}); err == nil {
				return errors.New("a dead owner answers")
			}
		}
	}
	took := time.Since(begun)
	if err := wait("the owner is given up", func() bool { return b.boxes.count() == 0 }); err != nil {
		return err
	}
	gone := time.Since(begun)
	if err := tell(orders, answers, "plug"); err != nil {
		return err
	}
	plugged := time.Now()
	if err := wait("the owner is back", func() bool { return b.boxes.count() == 1 }); err != nil {
		return err
	}
	fmt.Printf("%d files: %d asked of the dead owner, %s in all; given up after %s; back %s after the cable\n",
		files, asked, took.Round(time.Millisecond), gone.Round(time.Millisecond), time.Since(plugged).Round(time.Millisecond))
	if limit := 2 * fetchHeaderTimeout; asked != 1 || took > limit {
		return fmt.Errorf("want 1 asked and at most %s", limit)
	}
	if limit := fetchHeaderTimeout + 2*pingTimeout; gone > limit {
		return fmt.Errorf("want it given up within %s", limit)
	}
	orders.Close()
	return far.Wait()
}

func deadFar() error {
	orders, err := plug()
	if err != nil {
		return err
	}
	b, err := start(func(o *settings) { o.Listen = []string{"/ip4/10.77.0.2/tcp/0"} })
	if err != nil {
		return err
	}
	fmt.Println(b.dialled())
	for {
		order, err := orders.ReadString('\n')
		if err != nil {
			return nil // the end
		}
		state := map[string]string{"pull": "down", "plug": "up"}[strings.TrimSpace(order)]
		if err := ip("link set far " + state + "\n"); err != nil {
			return err
		}
		fmt.Println("done")
	}
}
