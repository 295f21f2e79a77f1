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

// blockMap says which bytes of a partial file of a blob of size, -1 if it is not
// known, are there, and which of those are trusted. In a file it is:
//
//	8 bytes   mapMagic
//	8 bytes   size of the blob, big endian
//	n bytes   what is there: one bit per block from the beginning on, lowest bit first
//	n bytes   what is trusted, likewise
//	4 bytes   CRC-32 (IEEE) of all before
//
// A block counts only as a whole; the last one of a blob may be short.
type blockMap struct {
	size    int64
	there   spans
	trusted spans // all of it is there
}

const (
	mapMagic  = "mpmap\x00\x00\x02"
	blockSize = 64 << 10
	mapHead   = len(mapMagic) + 8
	// maxMap bounds what is read of a map file: twice 2 MiB of bits, a blob of 1 TiB.
	maxMap = mapHead + 2*2<<20 + crc32.Size
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

// encode returns the map file. What is not a whole block is left out.
func (m blockMap) encode() []byte {
	there, trusted := m.there.blocks(m.size), m.trusted.blocks(m.size)
	n := (there.end() + 8*blockSize - 1) / (8 * blockSize)
	b := binary.BigEndian.AppendUint64([]byte(mapMagic), uint64(m.size))
	b = append(b, there.bits(n)...)
	b = append(b, trusted.bits(n)...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// bits returns n bytes with a bit for each block of s, which has whole blocks only.
func (s spans) bits(n int64) []byte {
	bits := make([]byte, n)
	for _, r := range s {
		for i := r.Off / blockSize; i*blockSize < r.End; i++ {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return bits
}

// fromBits undoes bits.
func fromBits(b []byte) (s spans) {
	for i, bits := range b {
		for bit := range 8 {
			if bits&(1<<bit) == 0 {
				continue
			}
			off := int64(i*8+bit) * blockSize
			s.add(off, off+blockSize)
		}
	}
	return s
}

// decodeMap reads what encode wrote.
func decodeMap(b []byte) (blockMap, error) {
	if len(b) < mapHead+crc32.Size || len(b) > maxMap || !bytes.HasPrefix(b, []byte(mapMagic)) {
		return blockMap{}, errors.New("not the map of a partial file")
	}
	body, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.ChecksumIEEE(body) != sum {
		return blockMap{}, errors.New("map of a partial file is damaged")
	}
	m := blockMap{size: int64(binary.BigEndian.Uint64(b[len(mapMagic):]))}
	bits := body[mapHead:]
	if m.size < -1 || len(bits)%2 != 0 {
		return blockMap{}, fmt.Errorf("map of a partial file of %d bytes, with %d bytes of bits", m.size, len(bits))
	}
	m.there, m.trusted = fromBits(bits[:len(bits)/2]), fromBits(bits[len(bits)/2:])
	if m.size >= 0 {
		return m.clip(m.size), nil
	}
	return m.clip(m.there.end()), nil
}

// clip returns m without the bytes from end on, and without trust in what is not there.
func (m blockMap) clip(end int64) blockMap {
	there := m.there.clip(end)
	return blockMap{m.size, there, there.common(m.trusted)}
}

const mapSuffix = ".map"

// writeMap replaces the map file of the partial file at path.
func writeMap(path string, m blockMap) error {
	b := m.encode()
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
// the file has: after a power cut the map may be ahead. A map that is missing,
// damaged or of an older form counts as empty.
func readMap(path string) blockMap {
	m, err := loadMap(path)
	if err != nil {
		return blockMap{size: -1}
	}
	return m
}

func loadMap(path string) (blockMap, error) {
	info, err := os.Stat(path + mapSuffix)
	if err != nil {
		return blockMap{}, err
	}
	if info.Size() > int64(maxMap) {
		return blockMap{}, errors.New("map of a partial file is too large")
	}
	b, err := os.ReadFile(path + mapSuffix)
	if err != nil {
		return blockMap{}, err
	}
	m, err := decodeMap(b)
	if err != nil {
		return blockMap{}, err
	}
	if info, err = os.Stat(path); err != nil {
		return blockMap{}, err
	}
	return m.clip(info.Size()), nil
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
