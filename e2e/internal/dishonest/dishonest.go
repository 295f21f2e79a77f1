// Package dishonest runs boxes that lie, for tests of what they cost honest ones: the
// real swarm with an inventory that is false. Each is a process on a host of a
// Network: the test binary again, which has to call Main first of all.
package dishonest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"

	"millpond/e2e/internal/box"
	"millpond/internal/digest"
	"millpond/internal/swarm"
)

// Kind is a way to be dishonest.
type Kind string

// All but Squatter and Empty list every file that there is.
const (
	Wrong      Kind = "wrong"      // sends wrong bytes in the middle, and states the right manifest
	Forged     Kind = "forged"     // sends wrong bytes in the middle, and states the manifest of those
	False      Kind = "false"      // answers 404
	Staller    Kind = "staller"    // accepts each request and sends nothing
	NinetyNine Kind = "ninetynine" // stops at 99 % of what is asked for
	Slow       Kind = "slow"       // sends 17 KiB/s
	Squatter   Kind = "squatter"   // accepts each request to fetch a file for another box, and sends nothing
	Empty      Kind = "empty"      // has nothing, and is of a crowd
)

// Listing reports whether a box of the kind lists files.
func (k Kind) Listing() bool { return k != Squatter && k != Empty }

// File is a file of the archive that the box lies about.
type File struct {
	Digest digest.Digest
	Path   string // where its right bytes are
	Size   int64  // bytes
}

// Config is what a process of dishonest boxes gets.
type Config struct {
	Kind       Kind
	Seed       byte // boxes with the same one send the same wrong bytes
	IP         string
	Identities int      // boxes at the address; 0: one
	Bootstrap  []string // multiaddrs of the honest boxes
	Key        string   // the swarm's; empty: none
	Files      []File
}

// Box is a process of dishonest boxes.
type Box struct {
	IDs map[string]bool // peer IDs

	tb    testing.TB
	lines *bufio.Scanner
}

// role is the environment variable with the Config.
const role = "MILLPOND_E2E_DISHONEST"

// Start runs dishonest boxes on a host until the end of the test.
func Start(tb testing.TB, h *box.Host, c Config) *Box {
	tb.Helper()
	c.IP = h.IP
	c.Identities = max(c.Identities, 1)
	text, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "config.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	program, err := os.Executable() // /proc/self/exe would be ip
	if err != nil {
		tb.Fatal(err)
	}
	cmd := h.Command(program)
	cmd.Env = append(os.Environ(), role+"="+file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			tb.Errorf("a dishonest box (%s) ended with %v", c.Kind, err)
		}
	})
	b := &Box{IDs: make(map[string]bool), tb: tb, lines: bufio.NewScanner(out)}
	for range c.Identities {
		b.IDs[b.line()] = true
	}
	return b
}

// Announced waits until the DHT has the records of all that the box lists.
func (b *Box) Announced() { b.tb.Helper(); b.line() }

func (b *Box) line() string {
	b.tb.Helper()
	if !b.lines.Scan() {
		b.tb.Fatalf("a dishonest box ended: %v", b.lines.Err())
	}
	return b.lines.Text()
}

// Main ends the process in the role of dishonest boxes, if it was started for that.
func Main() {
	file := os.Getenv(role)
	if file == "" {
		return
	}
	if err := run(file); err != nil {
		fmt.Fprintln(os.Stderr, "dishonest box:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run runs the boxes until standard input ends.
func run(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dishonest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var boxes []*swarm.Swarm
	ran := make(chan error, c.Identities)
	for i := range c.Identities {
		identity := filepath.Join(dir, fmt.Sprint(i))
		if c.Kind == Squatter {
			if err := makeIdentity(identity, c.Bootstrap, c.Files); err != nil {
				return err
			}
		}
		s, err := open(identity, c)
		if err != nil {
			return err
		}
		defer s.Close()
		boxes = append(boxes, s)
		fmt.Println(s.Identity().ID)
		go func() { ran <- s.Run(ctx, swarm.Serving{Inventory: newInventory(c)}) }()
	}
	go announced(ctx, boxes[0], c)
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	for range boxes {
		err = errors.Join(err, <-ran)
	}
	return err
}

func open(identity string, c Config) (*swarm.Swarm, error) {
	o := swarm.Options{
		IdentityFile: identity, Listen: []string{"/ip4/" + c.IP + "/tcp/0"}, Bootstrap: c.Bootstrap, Mode: swarm.Server,
		AllowClients: func(netip.Addr) bool { return true },
		Datastore:    dssync.MutexWrap(ds.NewMapDatastore()),
		Taken:        func(string, int64) {}, Given: func(string, int64) {},
		Version: "e2e", Log: slog.New(slog.DiscardHandler),
	}
	if c.Identities > 1 {
		o.Mode = swarm.Client // or they would spend the machine's time on each other
	}
	if c.Key != "" {
		o.Key = []byte(c.Key)
	}
	return swarm.New(o)
}

// announced prints a line when the DHT has the records of all files.
func announced(ctx context.Context, s *swarm.Swarm, c Config) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st := s.Status()
		if st.Announced >= int64(len(c.Files)) || !c.Kind.Listing() {
			fmt.Println("announced")
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
