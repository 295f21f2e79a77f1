package store

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Quota is the size that blobs and unfinished ones may have together: bytes,
// or a share of the file system that holds the store, computed at each Open.
type Quota struct {
	Bytes   int64
	Percent float64 // used if Bytes is 0
}

// units in decimal (IEC 80000-13 for the binary ones), by upper-case name.
var units = map[string]float64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "PIB": 1 << 50,
}

// ParseQuota reads "200GB", "1.5TiB", "80%" or a plain number of bytes. Case
// does not matter, nor does a space before the unit.
func ParseQuota(s string) (Quota, error) {
	fault := func(what string) (Quota, error) {
		return Quota{}, fmt.Errorf("quota %.40q %s: give a size like 200GB or 1.5TiB, or a share like 80%%", s, what)
	}
	end := strings.LastIndexAny(s, "0123456789.") + 1
	digits, unit := strings.TrimSpace(s[:end]), strings.ToUpper(strings.TrimSpace(s[end:]))
	if strings.Trim(digits, "0123456789.") != "" {
		return fault("is not a number and a unit") // no sign, exponent, hex, "inf"
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return fault("is not a number and a unit")
	}
	if unit == "%" {
		if n <= 0 || n > 100 {
			return fault("is not above 0% and at most 100%")
		}
		return Quota{Percent: n}, nil
	}
	factor, ok := units[unit]
	if !ok {
		return fault("has an unknown unit")
	}
	if n *= factor; n < 1 || n >= math.MaxInt64 {
		return fault("is out of range")
	}
	return Quota{Bytes: int64(n)}, nil
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
