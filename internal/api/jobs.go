package api

import "time"

// JobList is what GET /api/v1/jobs returns.
type JobList struct {
	Jobs []Job `json:"jobs" doc:"those under way, one of a kind at most"`
}

// Job is long work under way.
type Job struct {
	Kind       string    `json:"kind" enum:"verify,import,export,fill,backup"`
	Began      time.Time `json:"began"`
	Files      int64     `json:"files" doc:"done"`
	Bytes      int64     `json:"bytes" doc:"done"`
	TotalFiles int64     `json:"total_files" doc:"to do in all; 0 while it is not known"`
	TotalBytes int64     `json:"total_bytes" doc:"likewise"`
	Rate       int64     `json:"rate" doc:"bytes a second, over the last ten seconds"`
	Left       *int64    `json:"left" doc:"seconds that the rest takes at this rate; null if that cannot be said"`
}

// VerifyRequest is the body of POST /api/v1/verify.
type VerifyRequest struct {
	What string `json:"what,omitempty" maxLength:"2048" doc:"as of a purge: a host, a directory or file of it, or a URL; empty for all that is held"`
}

// Verify is the check of held files that is under way, or the last one; with zero values
// before the first.
type Verify struct {
	Running bool      `json:"running"`
	Host    string    `json:"host" doc:"of what is checked; empty for all that is held"`
	Path    string    `json:"path" doc:"likewise; empty: all of the host"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero" doc:"none while it runs, and if it was stopped"`
	Stopped bool      `json:"stopped" doc:"before its end: the next one of the same goes on where it was"`
	Error   string    `json:"error" doc:"why it was stopped, if nobody did that"`

	Files      int64 `json:"files" doc:"hashed"`
	Bytes      int64 `json:"bytes" doc:"of these"`
	Unreadable int64 `json:"unreadable" doc:"files that the disk did not give"`

	Damaged      int64         `json:"damaged" doc:"files, which were removed"`
	DamagedBytes int64         `json:"damaged_bytes" doc:"of these"`
	Fetched      int64         `json:"fetched" doc:"of the damaged, those fetched again"`
	NotAvailable int64         `json:"not_available" doc:"of the damaged, those that could not be fetched again, which is tried once an hour for a week"`
	Waiting      int64         `json:"waiting" doc:"of the damaged, those that are to be fetched later: when the box runs, or tomorrow, as there is a limit for a day"`
	Unlisted     int64         `json:"unlisted" doc:"of the damaged, those that no signed Release lists: they are fetched for whoever asks for them"`
	Found        []DamagedFile `json:"found" doc:"the first 100 of the damaged"`

	Job *Job `json:"job,omitempty" doc:"its progress, while it runs"`
}

// DamagedFile is a file that was found damaged.
type DamagedFile struct {
	Digest  string `json:"digest"`
	Name    string `json:"name" doc:"of the file; empty if it is not known"`
	Size    int64  `json:"size"`
	Outcome string `json:"outcome" enum:"fetched again,not available,waiting,unlisted"`
	Why     string `json:"why" doc:"it could not be fetched again"`
}
