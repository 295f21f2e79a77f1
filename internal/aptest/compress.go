package aptest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"sync"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// packed has what compress made. Hundreds of tests of one package make the same small
// archive, and under the race detector most of their time was its compression.
var packed struct {
	sync.Mutex
	results map[packedKey][]byte // guarded by Mutex
	size    int                  // guarded by Mutex; the bytes in results
}

type packedKey struct {
	ext    string
	digest [sha256.Size]byte
}

// maxPacked bounds packed. The archive of most tests takes some 100 kB.
const maxPacked = 16 << 20

// compress packs b in the format that files with the extension have: gz, xz,
// bz2 or zst, or "" for none. The same bytes give the same result, a copy of which
// is the caller's.
func compress(ext string, b []byte) []byte {
	if ext == "" {
		return bytes.Clone(b)
	}
	key := packedKey{ext, sha256.Sum256(b)}
	packed.Lock()
	out, ok := packed.results[key]
	packed.Unlock()
	if ok {
		return bytes.Clone(out)
	}
	out = compressed(ext, b)
	if len(out) > maxPacked/4 {
		return out
	}
	packed.Lock()
	defer packed.Unlock()
	if packed.results == nil || packed.size+len(out) > maxPacked {
		packed.results, packed.size = map[packedKey][]byte{}, 0
	}
	if _, ok := packed.results[key]; !ok {
		packed.results[key] = bytes.Clone(out)
		packed.size += len(out)
	}
	return out
}

func compressed(ext string, b []byte) []byte {
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
