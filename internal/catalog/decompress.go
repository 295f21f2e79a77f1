package catalog

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow is how much memory a decompressor may take for its dictionary:
// what "xz -9" and "zstd -22" without --ultra --long need. Debian's indices take
// 8 MiB.
const maxWindow = 64 << 20

var (
	errTooLong = errors.New("the index is too long")
	errLZMA    = errors.New("legacy .lzma compression, which is not read: publish the index as .xz")
)

// IndexText returns the text of an index that a signed Release lists, in any compression
// that the catalog reads. Text over 2 GiB, which the catalog does not learn either, fails.
// close must be called.
func IndexText(r io.Reader) (text io.Reader, close func(), err error) {
	return decompress(r, signedLimits.text)
}

// decompress returns the text of an index in any compression that the catalog reads. It
// detects that by the first bytes, since the name of a file in by-hash has no suffix. If
// it detects none, r is plain text. Text over most bytes fails. close must be called.
func decompress(r io.Reader, most int64) (text io.Reader, close func(), err error) {
	close = func() {}
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(6)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	is := func(prefix string) bool { return bytes.HasPrefix(magic, []byte(prefix)) }
	switch {
	case is("\x1f\x8b"):
		text, err = gzip.NewReader(b)
	case is("\xfd7zXZ\x00"):
		text, err = xz.NewReader(b, maxWindow)
	case is("BZh"):
		text = bzip2.NewReader(b)
	case is("\x28\xb5\x2f\xfd"):
		var z *zstd.Decoder
		z, err = zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(most)))
		if err == nil {
			text, close = z, z.Close
		}
	case is("\x5d\x00\x00"):
		err = errLZMA
	default:
		text, err = b, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return &limitedReader{r: text, left: most}, close, nil
}

// limitedReader fails after too many bytes, where io.LimitedReader would
// report a regular end.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLong
	}
	return n, err
}
