package catalog

import (
	"bytes"
	"io"
	"testing"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/ulikunitz/xz"

	"millpond/internal/aptest"
)

// FuzzDecompress reads indices as a hostile archive may compress them: there is
// never more text than is allowed.
func FuzzDecompress(f *testing.F) {
	text := bytes.Repeat([]byte("Package: bash\n"), 20)
	pack := func(w io.WriteCloser, err error) {
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			f.Fatal(err)
		}
	}
	var gz, bz, x bytes.Buffer
	pack(gzip.NewWriter(&gz), nil)
	pack(bzip2.NewWriter(&bz, nil))
	pack(xz.NewWriter(&x))
	for _, seed := range [][]byte{text, gz.Bytes(), bz.Bytes(), x.Bytes(), aptest.Zstd(text, 1<<10), []byte("\x5d\x00\x00\x80\x00")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 16
		r, done, err := decompress(bytes.NewReader(data), most)
		if err != nil {
			return
		}
		defer done()
		if got, err := io.ReadAll(r); len(got) > most {
			t.Errorf("%d bytes of text, want %d at most (%v)", len(got), most, err)
		}
	})
}
