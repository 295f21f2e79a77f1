package main

import (
	"fmt"
	"strconv"
	"strings"

	"millpond/internal/mirror"
	"millpond/internal/store"
	"millpond/internal/swarm"
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
	if s == "0" {
		return uploadRate{set: true}, nil
	}
	q, err := store.ParseQuota(s)
	if err != nil {
		return uploadRate{}, err
	}
	if q.Percent != 0 {
		return uploadRate{}, fmt.Errorf("%.40q is a share, but an upload rate is in bytes per second: give one like 4MB, or 0 for no limit", s)
	}
	return uploadRate{bytes: q.Bytes, set: true}, nil
}

// dailyBytes limits what is taken in a day; 0 is nothing.
type dailyBytes int64

// parseDailyBytes parses a number of bytes.
func parseDailyBytes(s string) (dailyBytes, error) {
	if s == "0" || strings.EqualFold(s, "false") {
		return 0, nil
	}
	q, err := store.ParseQuota(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%.40q is not a number of bytes with a unit: give one like 20GB, or 0 for none", s)
	case q.Percent != 0:
		return 0, fmt.Errorf("%.40q is a share, but this is in bytes a day: give a number like 20GB, or 0 for none", s)
	}
	return dailyBytes(q.Bytes), nil
}

// parseMirrorRate parses rates for mirrors by the hour: "20MB/s@08-18,5MB/s".
func parseMirrorRate(s string) (mirror.Rates, error) {
	var rates mirror.Rates
	var given [24]bool
	var rest *int64
	for _, part := range parseList(s) {
		text, hours, windowed := strings.Cut(part, "@")
		r, err := parseUploadRate(strings.TrimSuffix(text, "/s"))
		switch {
		case err != nil:
			return rates, err
		case !windowed && rest != nil:
			return rates, fmt.Errorf("%.40q: there is another rate without hours", part)
		case !windowed:
			rest = &r.bytes
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
			rates[h], given[h] = r.bytes, true
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

// parseMode parses the name of a mode in the DHT.
func parseMode(s string) (swarm.Mode, error) {
	switch m := swarm.Mode(s); m {
	case swarm.Auto, swarm.Server, swarm.Client:
		return m, nil
	}
	return "", fmt.Errorf("no such mode %q", s)
}
