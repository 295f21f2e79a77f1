package dishonest

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"

	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/swarm"
)

// Owner runs a box in this process, until the end of the test, that ranks above the
// honest ones, which have the multiaddrs, for the suite in the directory with that URL.
// It answers queries about suites by what from says, and has no files.
func Owner(tb testing.TB, suite string, honest []string, from peer.Releases) {
	tb.Helper()
	identity := filepath.Join(tb.TempDir(), "identity")
	if err := makeIdentity(identity, honest, []File{{Digest: digest.Of([]byte(suite))}}); err != nil {
		tb.Fatal(err)
	}
	s, err := swarm.New(swarm.Options{
		IdentityFile: identity, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: honest, Mode: swarm.Server,
		AllowClients: func(netip.Addr) bool { return true }, Datastore: dssync.MutexWrap(ds.NewMapDatastore()),
		Version: "e2e", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx, swarm.Serving{Inventory: newInventory(Config{Kind: Empty}), Releases: from}) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			tb.Error(err)
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
}
