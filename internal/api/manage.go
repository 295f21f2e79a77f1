package api

// PurgeRequest is the body of POST /api/v1/purge.
type PurgeRequest struct {
	What  string `json:"what" maxLength:"2048" doc:"a host such as archive.example.org; a directory or file of it such as archive.example.org/debian/pool/main/h/hello; or the URL of one"`
	After string `json:"after,omitempty" maxLength:"64" doc:"next of the last answer, to go on"`
}

// Purged is what POST /api/v1/purge did.
type Purged struct {
	Host   string `json:"host" doc:"as it was understood"`
	Path   string `json:"path" doc:"likewise; empty: all of the host"`
	Files  int64  `json:"files" doc:"removed"`
	Bytes  int64  `json:"bytes" doc:"that this freed"`
	InUse  int64  `json:"in_use" doc:"files that stay, since they are being read"`
	Pinned int64  `json:"pinned" doc:"files that stay, since they are pinned; Release files are"`
	Shared int64  `json:"shared" doc:"files that stay, since they are elsewhere too"`
	Next   string `json:"next" doc:"value of after to go on: there was not time for all; empty at the end"`
}

// PinRequest is the body of POST /api/v1/pin and POST /api/v1/unpin.
type PinRequest struct {
	What string `json:"what" maxLength:"512" doc:"a package, the name of a file, or its SHA-256"`
}

// PinResult is what POST /api/v1/pin or POST /api/v1/unpin did.
type PinResult struct {
	Files       []Blob `json:"files" doc:"that are held, and pinned or unpinned now; at most 100"`
	PinnedBytes int64  `json:"pinned_bytes" doc:"of all pinned files, whoever pinned them"`
	LimitBytes  int64  `json:"limit_bytes" doc:"to which files can be pinned by hand"`
}
