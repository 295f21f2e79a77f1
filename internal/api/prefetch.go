package api

import "time"

// PrefetchRequest is the body of POST /api/v1/prefetch.
type PrefetchRequest struct {
	Suite string `json:"suite,omitempty" doc:"URL of its directory, as in suites; empty for all"`
}

// Prefetch is what the running prefetch has done so far, or what the last one
// did, with zero values before the first; and what all have cost.
type Prefetch struct {
	Running     bool       `json:"running"`
	Automatic   bool       `json:"automatic" doc:"begun by the change of a suite, not by somebody"`
	Suite       string     `json:"suite" doc:"URL of the only one; empty for several"`
	Started     *time.Time `json:"started" doc:"null before the first"`
	Ended       time.Time  `json:"ended,omitzero"`
	Files       int64      `json:"files" doc:"indices and packages wanted, as far as is known"`
	Bytes       int64      `json:"bytes"`
	FilesDone   int64      `json:"files_done"`
	BytesDone   int64      `json:"bytes_done"`
	FilesFailed int64      `json:"files_failed"`
	NoRoom      int64      `json:"no_room" doc:"files left out so that nothing is evicted but what they supersede"`
	NoBudget    int64      `json:"no_budget" doc:"files left out as too little is left of the day's budget"`
	Error       string     `json:"error" doc:"what kept it from doing all"`

	Budget PrefetchBudget `json:"budget"`
	Since  time.Time      `json:"since" doc:"when the account began"`
	Total  PrefetchCost   `json:"total" doc:"since then"`
	Waves  []PrefetchWave `json:"waves" doc:"the last 20, the newest first"`
}

// PrefetchBudget is what automatic prefetches may take in a day (MILLPOND_PREFETCH),
// and what days before have left of it.
type PrefetchBudget struct {
	Bytes int64     `json:"bytes" doc:"0: there are none"`
	Spent int64     `json:"spent" doc:"from mirrors and other boxes, what somebody began included; it may exceed the budget by that"`
	Saved int64     `json:"saved" doc:"beside bytes: what the last days have not spent of theirs, of six days at most"`
	Ends  time.Time `json:"ends,omitzero" doc:"when the day ends; none while nothing was spent"`
}

// PrefetchCost is what was fetched ahead, and what became of it. A file is used once
// clients got as many bytes from the held file as it has; and wasted if it was evicted
// before, had to be fetched again, or waited for 14 days. The others are not decided yet.
type PrefetchCost struct {
	Files       int64 `json:"files"`
	FromPeers   int64 `json:"from_peers" doc:"bytes, of incomplete files too"`
	FromMirrors int64 `json:"from_mirrors" doc:"likewise"`
	UsedFiles   int64 `json:"used_files"`
	UsedBytes   int64 `json:"used_bytes" doc:"that were taken for them"`
	WastedFiles int64 `json:"wasted_files"`
	WastedBytes int64 `json:"wasted_bytes" doc:"of incomplete files too"`
}

// PrefetchWave is a prefetch.
type PrefetchWave struct {
	ID          int64        `json:"id"`
	Automatic   bool         `json:"automatic"`
	Suites      []string     `json:"suites" doc:"URLs of those that changed, or of those that somebody chose; the first 20"`
	Started     time.Time    `json:"started"`
	Ended       time.Time    `json:"ended,omitzero" doc:"none while it runs, or if the box was killed"`
	Files       int64        `json:"files" doc:"wanted, once it has ended"`
	Bytes       int64        `json:"bytes"`
	FilesFailed int64        `json:"files_failed"`
	NoRoom      int64        `json:"no_room"`
	NoBudget    int64        `json:"no_budget"`
	Cost        PrefetchCost `json:"cost" doc:"up to now"`
	Error       string       `json:"error"`
}
