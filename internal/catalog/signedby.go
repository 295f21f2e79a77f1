package catalog

import (
	"slices"
	"time"

	"millpond/internal/digest"
)

// demand is what a Release says of who has to sign the next one. apt heeds it in
// the Release that it has until that is not valid any more, for sources that name
// no keys themselves; so a key of the keyring that is another archive's does not
// make files of this one signed. Clients get the next Release in any case: some
// name its key in their sources.
type demand struct {
	By    []string // fingerprints
	Until time.Time
}

// keys are those of the demand as long as it stands.
func (d demand) keys(now time.Time) []string {
	if !now.Before(d.Until) {
		return nil
	}
	return slices.Clone(d.By)
}

// demand returns what stands for the Release id of the suite in dir: what was there
// when it came.
func (s *state) demand(dir Location, id digest.Digest) demand {
	st := s.suites[dir]
	if st == nil {
		return demand{}
	}
	if g := st.find(id); g != nil {
		return g.Demand
	}
	return st.current().demands()
}

// demands is what a generation demands of the next one. One that is itself not
// signed passes on what was demanded of it.
func (r *record) demands() demand {
	switch {
	case r.Signer == "":
		return r.Demand
	case len(r.SignedBy) == 0 || r.ValidUntil.IsZero():
		return demand{}
	}
	return demand{r.SignedBy, r.ValidUntil}
}
