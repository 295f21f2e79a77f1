package kv

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dstest "github.com/ipfs/go-datastore/test"
)

func dsKey(s string) ds.Key { return ds.NewKey(s) }

func queryKeys(ctx context.Context, store ds.Datastore, prefix string) ([]string, error) {
	res, err := store.Query(ctx, query.Query{Prefix: prefix, KeysOnly: true})
	if err != nil {
		return nil, err
	}
	defer res.Close()
	entries, err := res.Rest()
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return keys, err
}

func TestDatastoreConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	t.Parallel()
	db := openTest(t, t.TempDir())
	// Rows of others must not show up.
	mustPut(t, db.Table("libp2p"), "/0key0", "table")
	if err := db.Datastore("libp2").Put(t.Context(), dsKey("p/0key0"), []byte("store")); err != nil {
		t.Fatal(err)
	}
	dstest.SubtestAll(t, db.Datastore("libp2p"))
}

func TestDatastoreQueryPages(t *testing.T) {
	t.Parallel()
	store := openTest(t, t.TempDir()).Datastore("libp2p")
	ctx := t.Context()
	large := []byte(strings.Repeat("x", 100<<10))
	var want []string
	for i := range 3*pageRows + 1 {
		key := fmt.Sprintf("/p/%05d", i)
		want = append(want, key)
		value := []byte(key)
		if i%100 == 0 {
			value = large
		}
		if err := store.Put(ctx, dsKey(key), value); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"/p", "/o/1", "/pp/1", "/q"} {
		if err := store.Put(ctx, dsKey(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := queryKeys(ctx, store, "/p")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("query by prefix: %d keys, %v, want %d in order", len(got), err, len(want))
	}

	// Deleting what a query yields, as libp2p's garbage collection does.
	res, err := store.Query(ctx, query.Query{Prefix: "/p"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r := range res.Next() {
		if r.Error != nil {
			t.Fatal(r.Error)
		}
		if wantSize := len(r.Value); r.Size != wantSize {
			t.Errorf("size of %s is %d, want %d", r.Key, r.Size, wantSize)
		}
		if err := store.Delete(ctx, ds.RawKey(r.Key)); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("query while deleting yields %d rows, want %d", n, len(want))
	}
	if got, err := queryKeys(ctx, store, "/p"); err != nil || len(got) != 0 {
		t.Errorf("%d keys left, %v", len(got), err)
	}
}

func TestDatastoreUnclosedQuery(t *testing.T) {
	t.Parallel()
	db := openTest(t, t.TempDir())
	store := db.Datastore("libp2p")
	if err := store.Put(t.Context(), dsKey("/a"), nil); err != nil {
		t.Fatal(err)
	}
	res, err := store.Query(t.Context(), query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := res.NextSync(); !ok {
		t.Fatal("no result")
	}
	if err := db.Close(); err != nil { // must not hang
		t.Error(err)
	}
}

func TestDatastoreSizes(t *testing.T) {
	t.Parallel()
	store := openTest(t, t.TempDir()).Datastore("libp2p")
	for _, want := range []int{0, 1, 16 << 10, 16<<10 + 1, 200 << 10} {
		if err := store.Put(t.Context(), dsKey("/a"), make([]byte, want)); err != nil {
			t.Fatal(err)
		}
		if got, err := store.GetSize(t.Context(), dsKey("/a")); err != nil || got != want {
			t.Errorf("GetSize = %d, %v, want %d", got, err, want)
		}
	}
}
