package aptest

import (
	"bytes"
	"io"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// compress packs b in the format that files with the extension have: gz, xz,
// bz2 or zst, or "" for none. The same bytes give the same result.
func compress(ext string, b []byte) []byte {
	var out bytes.Buffer
	w, err := compressor(ext, &out)
	must("compressing", err)
	_, err = w.Write(b)
	must("compressing", err)
	must("compressing", w.Close())
	return out.Bytes()
}

func compressor(ext string, w io.Writer) (io.WriteCloser, error) {
	switch ext {
	case "":
		return nopCloser{w}, nil
	case "gz":
		return gzip.NewWriter(w), nil
	case "xz":
		// The usual dictionary of 8 MiB is cleared for each of a generation's
		// many small files, and so takes most of the time of Publish.
		return xz.WriterConfig{DictCap: 1 << 16}.NewWriter(w)
	case "bz2":
		return bzip2.NewWriter(w, &bzip2.WriterConfig{Level: bzip2.BestSpeed})
	case "zst":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	panic("aptest: no compression named " + ext)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// dotted returns "."+ext, or nothing for no extension.
func dotted(ext string) string {
	if ext == "" {
		return ""
	}
	return "." + ext
}

// Zstd compresses data so that unpacking takes a dictionary of that many bytes.
func Zstd(data []byte, window int) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // a window that is none
	}
	var b bytes.Buffer
	w.Reset(&b)
	_, _ = w.Write(data) // a buffer takes all
	_ = w.Close()
	return b.Bytes()
}
