package fetch

import (
	"context"
	"iter"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// Upstream is the mirror as a Source: it offers every location that the
// catalog knows for a blob.
type Upstream struct {
	Catalog *catalog.Catalog
	Mirror  *mirror.Client
}

var _ Source = Upstream{}

// Find implements Source. It never blocks.
func (u Upstream) Find(_ context.Context, e catalog.Entry) iter.Seq[Provider] {
	return func(yield func(Provider) bool) {
		for _, l := range u.Catalog.Mirrors(e) {
			if !yield(upstreamFile{client: u.Mirror, Location: l}) {
				return
			}
		}
	}
}

// upstreamFile is a file at one mirror.
type upstreamFile struct {
	catalog.Location
	client *mirror.Client
	// validator, a strong ETag, guards a resumed download of a file without
	// a digest against a file replaced meanwhile.
	validator string
}

func (p upstreamFile) Origin() ledger.Origin    { return ledger.FromMirror }
func (p upstreamFile) Source() store.Provenance { return store.Provenance{Name: p.Host} }

// Report implements Provider. Mirrors are chosen by the administrator and are
// not scored; the log tells of their faults.
func (p upstreamFile) Report(Outcome) {}

func (p upstreamFile) Open(ctx context.Context, off, n int64) (*Stream, error) {
	r := mirror.Request{URL: p.String(), Offset: off, Length: n}
	if off > 0 || n > 0 {
		r.IfRange = p.validator
	}
	resp, err := p.client.Get(ctx, r)
	if err != nil {
		return nil, err
	}
	return &Stream{ReadCloser: resp.Body, Off: resp.Offset, Size: resp.Size, Modified: resp.LastModified}, nil
}
