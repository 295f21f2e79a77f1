package store

import "fmt"

// Quota is the size that blobs and unfinished ones may have together: bytes,
// or a share of the file system that holds the store, computed at each Open.
type Quota struct {
	Bytes   int64
	Percent float64 // used if Bytes is 0
}

// of returns the quota in bytes on a file system of total bytes.
func (q Quota) of(total int64) (int64, error) {
	n := q.Bytes
	if n == 0 {
		n = int64(float64(total) / 100 * q.Percent)
	}
	if n <= 0 {
		return 0, fmt.Errorf("quota of %d bytes: want more than none", n)
	}
	return n, nil
}
