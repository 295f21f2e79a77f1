package storetest

import (
	"bytes"
	"io"
	"io/fs"
	"testing"

	"millpond/internal/store"
)

func readersGoOn(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 100_000)
	p, err := s.Partial(d, 100_000)
	must(t, err)
	r := p.Reader()
	defer r.Close()
	buf := make([]byte, 1000)
	n, err := r.ReadAt(buf, 0)
	if n != 0 {
		t.Errorf("ReadAt of nothing: got %d bytes", n)
	}
	wantErr(t, "ReadAt of nothing", err, store.ErrAbsent)
	write(t, p, b, 0, 500)
	n, err = r.ReadAt(buf, 100)
	if !bytes.Equal(buf[:n], b[100:500]) {
		t.Errorf("ReadAt: got %d other bytes than the 400 there", n)
	}
	wantErr(t, "ReadAt beyond what is there", err, store.ErrAbsent)
	write(t, p, b, 500, len(b))
	_, err = p.Commit(store.Meta{})
	must(t, err)
	late := p.Reader()
	defer late.Close()
	must(t, s.Remove(d))
	for _, r := range []*store.PartialReader{r, late} {
		got, err := io.ReadAll(io.NewSectionReader(r, 0, 200_000))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("reading on after Commit: got %d bytes, %v", len(got), err)
		}
	}
}

func readersOutlive(t *testing.T, s *store.Store) {
	b, d := Bytes(1, 100_000)
	for end, f := range map[string]func(*store.Partial) error{
		"Discard": (*store.Partial).Discard,
		"Close":   (*store.Partial).Close,
		"Commit of a held blob": func(p *store.Partial) error {
			must(t, s.Put(d, 100_000, bytes.NewReader(b), store.Meta{}))
			_, err := p.Commit(store.Meta{})
			return err
		},
	} {
		for _, named := range []bool{true, false} {
			p, err := s.Create(100_000)
			if named {
				must(t, p.Discard())
				p, err = s.Partial(d, 100_000)
			}
			must(t, err)
			r := p.Reader()
			write(t, p, b, 0, len(b))
			must(t, f(p))
			late := p.Reader()
			if end == "Commit of a held blob" {
				got, err := io.ReadAll(io.NewSectionReader(late, 0, 200_000))
				if err != nil || !bytes.Equal(got, b) {
					t.Errorf("opened after %s: read %d bytes, %v", end, len(got), err)
				}
				must(t, s.Remove(d))
			} else {
				_, err := late.ReadAt(make([]byte, 1), 0)
				wantErr(t, "opened after "+end, err, fs.ErrClosed)
			}
			late.Close()
			got, err := io.ReadAll(io.NewSectionReader(r, 0, 200_000))
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("opened before %s: read %d bytes, %v", end, len(got), err)
			}
			must(t, r.Close())
		}
	}
}
