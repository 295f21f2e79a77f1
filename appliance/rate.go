package main

import (
	"fmt"
	"strconv"
	"strings"

	"millpond/internal/mirror"
)

// elsewhere is the default upload rate, in bytes per second, to boxes of other
// sites: a third of a common office uplink of 100 Mbit/s.
const elsewhere = 4e6

// uploadRate limits uploads to other boxes. The zero value is the rate
// elsewhere, for boxes of other sites only.
type uploadRate struct {
	bytes int64
	set   bool // the rate applies within the site as well; 0 bytes: no limit
}

// parseUploadRate parses a number of bytes per second.
func parseUploadRate(s string) (uploadRate, error) {
	n, err := parseRate(s)
	return uploadRate{bytes: n, set: err == nil}, err
}

// parseMirrorRate parses rates for mirrors by the hour: "20MB/s@08-18,5MB/s".
func parseMirrorRate(s string) (mirror.Rates, error) {
	var rates mirror.Rates
	var given [24]bool
	var rest *int64 // of the hours without a rate of their own
	for _, part := range parseList(s) {
		text, hours, windowed := strings.Cut(part, "@")
		rate, err := parseRate(text)
		switch {
		case err != nil:
			return rates, err
		case !windowed && rest != nil:
			return rates, fmt.Errorf("%.40q: there is another rate without hours", part)
		case !windowed:
			rest = &rate
			continue
		}
		from, to, err := parseHours(hours)
		if err != nil {
			return rates, fmt.Errorf("%.40q: %w", part, err)
		}
		for h := from; h != to; h = (h + 1) % 24 {
			if given[h] {
				return rates, fmt.Errorf("%.40q: there is another rate for %02d-%02d", part, h, h+1)
			}
			rates[h], given[h] = rate, true
		}
	}
	for h := range rates {
		if !given[h] && rest != nil {
			rates[h] = *rest
		}
	}
	return rates, nil
}

// parseHours parses a part of the day, from the hour from up to the hour to, which is
// not in it. It may contain midnight; both are below 24.
func parseHours(s string) (from, to int, err error) {
	a, b, ok := strings.Cut(s, "-")
	x, err1 := strconv.ParseUint(strings.TrimSpace(a), 10, 8)
	y, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 8)
	switch {
	case !ok || err1 != nil || err2 != nil || x > 23 || y > 24:
		return 0, 0, fmt.Errorf("%.20q is not a part of the day: give hours like 08-18 or 22-06", s)
	case x == y%24:
		return 0, 0, fmt.Errorf("%.20q is the whole day or none of it: give the rate without hours", s)
	}
	return int(x), int(y % 24), nil
}
