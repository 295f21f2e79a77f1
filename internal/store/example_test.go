package store_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// Bytes come in piece by piece, become a blob when all of them have the digest,
// and are read from then on.
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := kv.Open(filepath.Join(dir, "db"), slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	defer db.Close()
	s, err := store.Open(store.Options{Dir: dir, Table: db.Table("store"), Quota: store.Quota{Bytes: 1 << 30}})
	if err != nil {
		panic(err)
	}
	defer s.Close()

	text := []byte("Package: hello\n")
	d := digest.Of(text)
	p, err := s.Partial(d, int64(len(text)))
	if err != nil {
		panic(err)
	}
	if _, err := p.WriteAt(text[8:], 8); err != nil {
		panic(err)
	}
	fmt.Println("missing:", p.Missing())
	if _, err := p.WriteAt(text[:8], 0); err != nil {
		panic(err)
	}
	if _, err := p.Commit(store.Meta{Name: "Packages"}); err != nil {
		panic(err)
	}

	b, err := s.Open(d)
	if err != nil {
		panic(err)
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	fmt.Println(b.Info().Name, bytes.Equal(got, text), err)
	// Output:
	// missing: [{0 8}]
	// Packages true <nil>
}
