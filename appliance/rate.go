package main

import (
	"fmt"

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

// parseMode parses the name of a mode in the DHT.
func parseMode(s string) (swarm.Mode, error) {
	switch m := swarm.Mode(s); m {
	case swarm.Auto, swarm.Server, swarm.Client:
		return m, nil
	}
	return "", fmt.Errorf("no such mode %q", s)
}
