package dashboard

import (
	"net/http"
	"time"
)

// Summary is what GET /api/v1/summary returns: the figures since the ledger
// began, and what is held and known.
type Summary struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Counts
	Blobs      int64 `json:"blobs"`
	BlobBytes  int64 `json:"blob_bytes"`
	QuotaBytes int64 `json:"quota_bytes"`
	Archives   int   `json:"archives"`
	Suites     int   `json:"suites"`
	Known      int64 `json:"known_files"`
	Downloads  int   `json:"downloads_running"`
}

// snapshot reads the figures of the moment.
func (o *Options) snapshot() Summary {
	c, since := o.Totals()
	u, k := o.Usage(), o.Catalog()
	return Summary{
		Version: o.Version, Since: since.UTC(), Counts: countsOf(c),
		Blobs: u.Blobs, BlobBytes: u.Bytes, QuotaBytes: u.QuotaBytes,
		Archives: k.Archives, Suites: k.Suites, Known: k.Rows, Downloads: o.Fetch().Running,
	}
}

func (d *Dashboard) summary(w http.ResponseWriter, _ *http.Request) {
	d.json(w, http.StatusOK, d.snapshot())
}
