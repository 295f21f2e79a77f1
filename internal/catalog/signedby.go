package catalog

import (
	"slices"
	"time"

	"millpond/internal/digest"
)

// demand is what a Release says about who has to sign the next one (Signed-By). apt
// obeys it as long as the Release that it has is valid, for sources that name no keys
// themselves. So another archive's key in the keyring does not make files of this
// archive signed. Clients get the next Release in any case: some name its key in
// their sources.
type demand struct {
	By    []string // fingerprints
	Until time.Time
}

// keys are the fingerprints that the demand names, none once it has ended.
func (d demand) keys(now time.Time) []string {
	if !now.Before(d.Until) {
		return nil
	}
	return slices.Clone(d.By)
}

// demand returns the one that the Release id of the suite in dir is held to: of the
// Release that was current when it came.
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

// demands is what a generation demands of the next one. One that is not signed
// itself passes on the demand that it is held to.
func (r *record) demands() demand {
	switch {
	case r.Signer == "":
		return r.Demand
	case len(r.SignedBy) == 0 || r.ValidUntil.IsZero():
		return demand{}
	}
	return demand{r.SignedBy, r.ValidUntil}
}
