package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"millpond/internal/store"
)

// Least sizes. Below them a setting is more likely to lack a unit, or to have the wrong
// one, than to be meant.
const (
	// leastCache has room for one index of a large archive, which takes up to 60 MB.
	leastCache = 64e6
	leastDaily = 1e6  // one small package
	leastRate  = 1000 // a modem's, in bytes per second
)

// units are what stands behind a number of bytes, in lower case without the B that may
// follow: decimal ones, and binary ones (IEC 80000-13).
var units = map[string]float64{
	"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40, "pi": 1 << 50,
}

// sizeForms ends a message about a size.
const sizeForms = "write a number with its unit, such as 200GB, 1.5T or 500MiB"

// parseSize reads "200GB", "1.5T" or "500MiB", of least bytes or more. Case does not matter,
// nor does a space before the unit, but a number without a unit could be meant in any.
func parseSize(s string, least int64) (int64, error) {
	number, unit, err := splitSize(s)
	if err != nil {
		return 0, err
	}
	factor, known := units[strings.TrimSuffix(unit, "b")]
	switch {
	case unit == "":
		return 0, fmt.Errorf("%.40q has no unit: %s", s, sizeForms)
	case unit == "b":
		factor = 1
	case unit == "%":
		return 0, fmt.Errorf("%.40q is a share of the disk, and this is in bytes: %s", s, sizeForms)
	case !known:
		return 0, fmt.Errorf("%.40q has an unknown unit: %s", s, sizeForms)
	}
	switch n := number * factor; {
	case n >= math.MaxInt64:
		return 0, fmt.Errorf("%.40q is more than any disk or network has: %s", s, sizeForms)
	case n < float64(least):
		return 0, fmt.Errorf("%.40q is less than %s, the least that makes sense here: %s", s, formatLeast(least), sizeForms)
	default:
		return int64(n), nil
	}
}

// splitSize parts a number from the unit behind it, which is in lower case.
func splitSize(s string) (number float64, unit string, err error) {
	end := strings.LastIndexAny(s, "0123456789.") + 1
	digits := strings.TrimSpace(s[:end])
	// No sign, exponent, hexadecimal digits or "inf", which ParseFloat takes too.
	if strings.Trim(digits, "0123456789.") == "" {
		number, err = strconv.ParseFloat(digits, 64)
	}
	if digits == "" || err != nil || strings.Trim(digits, "0123456789.") != "" {
		return 0, "", fmt.Errorf("%.40q is not a number with a unit: %s", s, sizeForms)
	}
	return number, strings.ToLower(strings.TrimSpace(s[end:])), nil
}

// formatLeast writes a least size as a setting takes it.
func formatLeast(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%dkB", n/1e3)
	}
	return fmt.Sprintf("%dMB", n/1e6)
}

// parseCacheSize reads a size, or a share of the disk.
func parseCacheSize(s string) (store.Quota, error) {
	if share, unit, err := splitSize(s); err == nil && unit == "%" {
		if share <= 0 || share > 100 {
			return store.Quota{}, fmt.Errorf("%.40q is not above 0%% and at most 100%%", s)
		}
		return store.Quota{Percent: share}, nil
	}
	n, err := parseSize(s, leastCache)
	if err != nil {
		return store.Quota{}, fmt.Errorf("%w, or a share of the disk such as 80%%", err)
	}
	return store.Quota{Bytes: n}, nil
}

// parseRate reads bytes per second; 0 is no limit.
func parseRate(s string) (int64, error) {
	size := strings.TrimSuffix(strings.TrimSpace(s), "/s")
	if size == "0" || isNo(size) {
		return 0, nil
	}
	n, err := parseSize(size, leastRate)
	if err != nil {
		return 0, fmt.Errorf("%w for each second, or 0 for no limit", err)
	}
	return n, nil
}

// dailyBytes limits what is taken in a day; 0 is nothing.
type dailyBytes int64

// parseDailyBytes reads bytes a day.
func parseDailyBytes(s string) (dailyBytes, error) {
	if s == "0" || isNo(s) {
		return 0, nil
	}
	n, err := parseSize(s, leastDaily)
	if err != nil {
		return 0, fmt.Errorf("%w for each day, or 0 for none", err)
	}
	return dailyBytes(n), nil
}
