package api

import "time"

// ImportRequest is the body of POST /api/v1/import.
type ImportRequest struct {
	Dirs []string `json:"dirs" minItems:"1" maxItems:"256" doc:"directories, by their paths from / as the box sees them"`
	As   string   `json:"as,omitempty" maxLength:"2048" doc:"URL of the archive that each of them is a copy of; empty where the names of their directories tell"`
}

// ExportRequest is the body of POST /api/v1/export.
type ExportRequest struct {
	Dir    string   `json:"dir" maxLength:"4096" doc:"directory to write to, by its path from / as the box sees it"`
	Suites []string `json:"suites,omitempty" maxItems:"256" doc:"names of suites, or URLs of their directories; none: all"`
}

// FillRequest is the body of POST /api/v1/fill.
type FillRequest struct {
	Dir  string `json:"dir" maxLength:"4096" doc:"as of an export"`
	List string `json:"list" doc:"the want-list, as GET /api/v1/want-list of the other box gives it"`
}

// Carry is the import, export or fill that is under way, or the last one; with zero values
// before the first.
type Carry struct {
	Running bool      `json:"running"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Stopped bool      `json:"stopped" doc:"before its end: the same request goes on where it was"`
	Error   string    `json:"error" doc:"why it could not go on"`

	Taken      int64         `json:"taken" doc:"files that are new in the box, or in the directory; this and what follows is known at the end"`
	TakenBytes int64         `json:"taken_bytes" doc:"of these"`
	Held       int64         `json:"held" doc:"files that were there before"`
	HeldBytes  int64         `json:"held_bytes" doc:"of these"`
	Linked     int64         `json:"linked" doc:"of those taken, further names of the files that they were made of"`
	Cloned     int64         `json:"cloned" doc:"of those taken, those that share their blocks with these"`
	Unlisted   int64         `json:"unlisted" doc:"of those imported, those that no signed index lists yet"`
	Missing    int64         `json:"missing" doc:"of an export: files that the indices list and the box does not hold"`
	Suites     []string      `json:"suites" doc:"that were brought; of an export, their lines for sources.list"`
	Skipped    []SkippedFile `json:"skipped" doc:"what was left out, by reason"`

	Job *Job `json:"job,omitempty" doc:"its progress, while it runs"`
}

// SkippedFile is what was left out for one reason.
type SkippedFile struct {
	Reason   string   `json:"reason"`
	Files    int64    `json:"files"`
	Examples []string `json:"examples" doc:"the first few names"`
}
