// Package boxtest builds what a test of a box needs out of real parts: on the
// one side an archive with a mirror on loopback ([NewArchive]), on the other
// the database, keyring, catalog, store, ledger and mirror client of a box
// ([New]).
//
// All of it is closed when the test ends, in the reverse order of its making;
// close what a test puts on top of it in a cleanup of its own.
//
// It imports nothing above floor 2 and no swarm, so that the tests inside
// fetch, swarm, prefetch, dashboard and proxy can use it.
package boxtest

import (
	"log/slog"
	"path/filepath"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/keyring"
	"millpond/internal/kv"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
	"millpond/internal/store/storetest"
)

// Box is the parts that a box is built upon.
type Box struct {
	DB      *kv.DB
	Keyring *keyring.Keyring
	Catalog *catalog.Catalog
	Store   *store.Store
	Ledger  *ledger.Ledger
	Mirror  *mirror.Client
	Disk    *storetest.Disk // under Store
	Log     *slog.Logger

	tb     testing.TB
	policy *mirror.Policy
}

// Options say how a Box differs from the usual. The zero value is a box on a
// temporary directory that trusts no key.
type Options struct {
	Dir        string         // data directory; blobs that lie there are held
	Keys       string         // directory of the archive keys
	TrustHosts []string       // whose archives count as signed
	Quota      int64          // bytes of the store, 1 GiB if 0
	Mirror     mirror.Options // without a Policy it may dial loopback addresses
	// ShareHost is the catalog's. nil shares every host: mirrors on loopback would be
	// private otherwise.
	ShareHost func(catalog.Location) bool
	Log       *slog.Logger // the test's output if nil
}

// New builds the parts of a box.
func New(tb testing.TB, o Options) *Box {
	tb.Helper()
	b := &Box{tb: tb, Disk: new(storetest.Disk), Log: o.Log}
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	if o.Quota == 0 {
		o.Quota = 1 << 30
	}
	if b.Log == nil {
		b.Log = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	if o.ShareHost == nil {
		o.ShareHost = func(catalog.Location) bool { return true }
	}
	b.loadKeys(o.Keys)
	var err error
	b.DB, err = kv.Open(filepath.Join(o.Dir, "db"), b.Log)
	b.closes(err, func() error { return b.DB.Close() })
	disk := store.Options{Dir: o.Dir, Table: b.DB.Table("store"), Quota: store.Quota{Bytes: o.Quota}, Log: b.Log}
	b.Disk.Under(&disk)
	b.Store, err = store.Open(disk)
	b.closes(err, func() error { return b.Store.Close() })
	b.Catalog, err = catalog.Open(catalog.Options{
		Table: b.DB.Table("catalog"), Keyring: b.Keyring, TrustHosts: o.TrustHosts, ShareHost: o.ShareHost, Room: o.Quota / 4, Log: b.Log,
	})
	b.must(err)
	b.Ledger, err = ledger.Open(b.DB.Table("ledger"), b.DB.Table("daily"))
	b.must(err)
	b.policy, err = mirror.ParsePolicy([]string{"127.0.0.0/8"})
	b.must(err)
	b.Mirror = b.NewMirror(o.Mirror)
	return b
}

// NewMirror makes a further mirror client, for other options than New's.
func (b *Box) NewMirror(o mirror.Options) *mirror.Client {
	b.tb.Helper()
	if o.Policy == nil {
		o.Policy = b.policy
	}
	c := mirror.New(o)
	b.closes(nil, c.Close)
	return c
}

func (b *Box) loadKeys(dir string) {
	b.tb.Helper()
	b.Keyring = new(keyring.Keyring)
	if dir == "" {
		return
	}
	ring, bad, err := keyring.Load(dir)
	if err != nil || len(bad) > 0 {
		b.tb.Fatal(err, bad)
	}
	b.Keyring = ring
}

// closes has the test close a part at its end, unless opening it failed.
func (b *Box) closes(opened error, closePart func() error) {
	b.tb.Helper()
	b.must(opened)
	b.tb.Cleanup(func() {
		if err := closePart(); err != nil {
			b.tb.Error(err)
		}
	})
}

func (b *Box) must(err error) {
	b.tb.Helper()
	if err != nil {
		b.tb.Fatal(err)
	}
}
