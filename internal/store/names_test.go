package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/digest"
)

// A table that was written before rows had names, with its blobs: pins and
// last uses are kept, and the blobs can be given names.
func TestUnnamedRows(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	old, err := os.ReadFile("testdata/unnamed.rows")
	if err != nil {
		t.Fatal(err)
	}
	first, pinned := b.put(1, 1000), b.put(2, 2000)
	b.put(3, 3000)
	var keys [][]byte
	err = b.table.Scan(nil, nil, func(k, _ []byte) bool { keys = append(keys, bytes.Clone(k)); return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if err := b.table.Delete(k); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(string(old)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		key, err := hex.DecodeString(k)
		value, err2 := hex.DecodeString(v)
		if err := errors.Join(err, err2, b.table.Put(key, value)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time the rows are of today
		b.restart()
		b.check()
		if i, err := b.Stat(first); err != nil || i.Size != 1000 || i.Name != "" || i.From != nil || i.Used.Unix() != 1795523603 {
			t.Errorf("a blob: %+v (used %d), %v", i, i.Used.Unix(), err)
		}
		if i, err := b.Stat(pinned); err != nil || !i.Pinned || !slices.Equal(i.Pins, []string{ByAdmin}) {
			t.Errorf("the pinned blob: %+v, %v", i, err)
		}
	}
	if got := b.names(t); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("names: %q, want three that are empty", got)
	}
	if err := b.Annotate(first, Meta{Name: "first"}); err != nil {
		t.Error(err)
	}
	var without []digest.Digest
	for d, err := range b.Unnamed() {
		if err != nil {
			t.Fatal(err)
		}
		without = append(without, d)
	}
	if len(without) != 2 || slices.Contains(without, first) {
		t.Errorf("without a name: %v", without)
	}
	if got := b.names(t); !slices.Equal(got, []string{"first", "", ""}) {
		t.Errorf("names: %q, want one", got)
	}
	b.check()
}

func (b *box) names(t *testing.T) (all []string) {
	t.Helper()
	for n, err := range b.Names("", "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n.Name)
	}
	return all
}

func TestAnnotate(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	d := b.put(1, 1000)
	before, err := b.Stat(d)
	if err != nil {
		t.Fatal(err)
	}
	from := slices.Repeat([]Provenance{{Name: strings.Repeat("x", maxName+1)}}, maxFrom+1)
	for _, m := range []Meta{
		{Name: "no/file"}, {Name: "a\x00b"}, {Name: unnamed}, {Name: strings.Repeat("x", maxName+1)}, // no names of files
		{Name: "first"}, {Name: "second"},
		{From: from}, {Name: "third", From: from[:1]}, // known by then
	} {
		if err := b.Annotate(d, m); err != nil {
			t.Error(err)
		}
	}
	want := before
	want.Name, want.From = "first", slices.Repeat([]Provenance{{Name: strings.Repeat("x", maxName)}}, maxFrom)
	b.restart()
	if got, err := b.Stat(d); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := b.Remove(d); err != nil {
		t.Error(err)
	}
	if err := b.Annotate(d, Meta{Name: "first"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob that is gone: %v, want fs.ErrNotExist", err)
	}
	b.check()
}

// The names of a store go with its database, and come back one by one.
func TestNamesLost(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	d := b.put(1, 1000)
	if err := b.Annotate(d, Meta{Name: "first"}); err != nil {
		t.Fatal(err)
	}
	r, err := b.row(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.apply(change{d, &r, nil}); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if got := b.names(t); !slices.Equal(got, []string{""}) {
		t.Errorf("names: %q, want an empty one", got)
	}
	b.check()
}

// Listings go on over the end of a page.
func TestNamesPages(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	r := Meta{Name: "same"}.row(1, time.Now())
	var all []change
	for i := range 2*namesPage + 3 {
		_, d := content(i, 1)
		d[0], d[1] = byte(i>>8), byte(i)
		all = append(all, change{d, nil, &r})
	}
	if err := b.apply(all...); err != nil {
		t.Fatal(err)
	}
	i := 0
	for n, err := range b.Names("sa", "") {
		if err != nil || n.Digest != all[i].d {
			t.Fatalf("name %d is of %s, want %s; %v", i, n.Digest, all[i].d, err)
		}
		i++
	}
	if i != len(all) {
		t.Errorf("%d names, want %d", i, len(all))
	}
}

func FuzzDecodeRow(f *testing.F) {
	f.Add(make([]byte, rowSize))
	f.Add(row{}.encode())
	f.Add(row{size: 1, modified: 2, used: 3, pins: []string{ByAdmin, "y"}, name: "x", from: []Provenance{{true, "y"}, {false, ""}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRow(b)
		if err != nil || r.old {
			return
		}
		if again, err := decodeRow(r.encode()); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v comes back as %+v, %v", r, again, err)
		}
	})
}
