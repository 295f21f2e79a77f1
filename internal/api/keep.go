package api

import "time"

// Keep is what GET /api/v1/keep returns.
type Keep struct {
	Slices []KeptSlice `json:"slices" doc:"one for each suite of which packages are kept, by URL"`
}

// KeptSlice is how far the box is with what it keeps of a suite.
type KeptSlice struct {
	Suite    string `json:"suite" doc:"URL of its directory"`
	System   string `json:"system" doc:"line of suites that it is a part of, such as bookworm: their dependencies are resolved together, and they switch together; empty before it is known"`
	State    string `json:"state" enum:"complete,fetching,incomplete,failing" doc:"fetching: the first or a newer generation; incomplete: files of the complete one are missing; failing: see fault"`
	Complete string `json:"complete" doc:"digest of the Release of the generation in which it is complete; empty if there is none yet"`
	Wanted   string `json:"wanted" doc:"digest of the Release of the generation that it is to have; another one than complete while that is fetched"`

	CompleteDate time.Time `json:"complete_date,omitzero" doc:"of the complete generation's Release"`
	WantedDate   time.Time `json:"wanted_date,omitzero" doc:"of the wanted generation's Release"`
	Since        time.Time `json:"since,omitzero" doc:"when it became complete in that generation"`

	CompleteFiles int64 `json:"complete_files" doc:"of the complete generation: the Release, indices and packages"`
	CompleteBytes int64 `json:"complete_bytes"`

	Files     int64 `json:"files" doc:"of the wanted generation, likewise; those of both count once on the disk"`
	Bytes     int64 `json:"bytes"`
	FilesHeld int64 `json:"files_held" doc:"of those, held and pinned"`
	BytesHeld int64 `json:"bytes_held"`
	FilesGone int64 `json:"files_gone" doc:"of the complete generation, missing at present; they are fetched again"`

	Lacks     []Lack `json:"lacks" doc:"dependencies that no suite of the system satisfies; at most 100"`
	LacksMore int    `json:"lacks_more" doc:"such dependencies beyond those"`
	Fault     string `json:"fault" doc:"why it does not have what it is to have; empty if nothing is wrong"`
}

// Lack is a dependency that nothing satisfies.
type Lack struct {
	Package string `json:"package" doc:"that has it, with version and architecture; \"the selection\" of a name that no index lists"`
	Needs   string `json:"needs"`
}
