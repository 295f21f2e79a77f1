package api

import "time"

// Mirror is one of the mirrors of an archive in MILLPOND_MIRRORS.
type Mirror struct {
	Archive   string     `json:"archive" doc:"URL of the archive's directory, as clients name it"`
	URL       string     `json:"url" doc:"URL of that directory at the mirror"`
	Down      string     `json:"down" doc:"why the others are asked first for now; empty if they are not"`
	FirstByte float64    `json:"first_byte_ms" doc:"usual time to the header of an answer; 0 if not measured"`
	Rate      int64      `json:"rate_bytes" doc:"usual bytes a second; 0 if not measured"`
	Measured  *time.Time `json:"measured" doc:"when it last answered; null if it has not since the start"`
}

// MirrorList is what GET /api/v1/mirrors returns.
type MirrorList struct {
	Mirrors []Mirror `json:"mirrors" doc:"in the order of the setting; empty without it"`
}
