package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// A map file says which blocks of a partial file are written:
//
//	8 bytes   mapMagic
//	8 bytes   size of the blob, big endian, -1 if unknown
//	n bytes   one bit per block from the beginning on, lowest bit first
//	4 bytes   CRC-32 (IEEE) of all before
//
// A block counts only as a whole; the last one of a blob may be short.
const (
	mapMagic  = "mpmap\x00\x00\x01"
	blockSize = 64 << 10
	mapHead   = len(mapMagic) + 8
	// maxMap bounds what is read of a map file: 2 MiB of bits, a blob of 1 TiB.
	maxMap = mapHead + 2<<20 + crc32.Size
)

// blocks returns the bytes of s that make whole blocks of a blob of size.
func (s spans) blocks(size int64) spans {
	var whole spans
	for _, r := range s {
		end := r.End
		if end != size {
			end -= end % blockSize
		}
		whole.add((r.Off+blockSize-1)/blockSize*blockSize, end)
	}
	return whole
}

// encodeMap returns the map file of a blob of size of which the bytes in s are
// there. What is not a whole block is left out.
func encodeMap(size int64, s spans) []byte {
	s = s.blocks(size)
	bits := make([]byte, (s.end()+8*blockSize-1)/(8*blockSize))
	for _, r := range s {
		for i := r.Off / blockSize; i*blockSize < r.End; i++ {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	b := binary.BigEndian.AppendUint64([]byte(mapMagic), uint64(size))
	b = append(b, bits...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// decodeMap reads what encodeMap wrote.
func decodeMap(b []byte) (size int64, s spans, err error) {
	if len(b) < mapHead+crc32.Size || len(b) > maxMap || !bytes.HasPrefix(b, []byte(mapMagic)) {
		return 0, nil, errors.New("not the map of a partial file")
	}
	body, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.ChecksumIEEE(body) != sum {
		return 0, nil, errors.New("map of a partial file is damaged")
	}
	size = int64(binary.BigEndian.Uint64(b[len(mapMagic):]))
	if size < -1 {
		return 0, nil, fmt.Errorf("map of a partial file of %d bytes", size)
	}
	for i, bits := range body[mapHead:] {
		for bit := range 8 {
			if bits&(1<<bit) == 0 {
				continue
			}
			off := int64(i*8+bit) * blockSize
			s.add(off, off+blockSize)
		}
	}
	if size >= 0 {
		s = s.clip(size)
	}
	return size, s, nil
}

const mapSuffix = ".map"

// writeMap replaces the map file of the partial file at path.
func writeMap(path string, size int64, s spans) error {
	b := encodeMap(size, s)
	if len(b) > maxMap {
		return nil // without a map the file only cannot be resumed
	}
	// A temporary name that the sweep at start removes. Nothing is synced:
	// after a power cut the digest of the whole file decides.
	tmp := path + mapSuffix + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path+mapSuffix)
}

// readMap reads the map of the partial file at path, clipped to the bytes that
// the file has: after a power cut the map may be ahead. A map that is missing
// or damaged counts as empty.
func readMap(path string) (size int64, s spans) {
	size, s, err := loadMap(path)
	if err != nil {
		return -1, nil
	}
	return size, s
}

func loadMap(path string) (size int64, s spans, err error) {
	info, err := os.Stat(path + mapSuffix)
	if err != nil {
		return 0, nil, err
	}
	if info.Size() > int64(maxMap) {
		return 0, nil, errors.New("map of a partial file is too large")
	}
	b, err := os.ReadFile(path + mapSuffix)
	if err != nil {
		return 0, nil, err
	}
	if size, s, err = decodeMap(b); err != nil {
		return 0, nil, err
	}
	if info, err = os.Stat(path); err != nil {
		return 0, nil, err
	}
	return size, s.clip(info.Size()), nil
}

// removePartial removes a partial file and its map, the map first: bytes
// without a map are ignored, a map without bytes would be wrong.
func removePartial(path string) error {
	for _, name := range []string{path + mapSuffix, path} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
