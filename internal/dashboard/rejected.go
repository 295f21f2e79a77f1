package dashboard

import (
	"context"
	"errors"
	"net/http"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
)

// maxAcceptBody bounds the body of an acceptance: a URL and a digest.
const maxAcceptBody = 8 << 10

// rejectedOf describes what was rejected of a suite, nil if nothing was.
func rejectedOf(r fetch.Rejected, ok bool) *api.Rejected {
	if !ok {
		return nil
	}
	return &api.Rejected{Digest: r.Digest.String(), Mirror: r.Mirror, Reason: r.Why, First: r.First.UTC(), Last: r.Last.UTC(), Date: timeIf(r.Date)}
}

// acceptRequest names a rejected Release.
type acceptRequest struct{ Body api.AcceptRequest }

// acceptRelease puts a rejected Release in force.
func (d *Dashboard) acceptRelease(ctx context.Context, in *acceptRequest) error {
	suite, err := catalog.ParseURL(in.Body.Suite)
	if err != nil {
		return wrong("suite: %v", err)
	}
	id, err := digest.Parse(in.Body.Digest)
	if err != nil {
		return wrong("digest: %v", err)
	}
	err = d.fetch.AcceptRelease(ctx, suite, id)
	switch {
	case errors.Is(err, fetch.ErrNotRejected):
		return problem(http.StatusNotFound, "There is nothing to accept: "+err.Error()+".")
	case err != nil:
		return problem(http.StatusConflict, "The Release is accepted, but not in force yet: "+err.Error())
	}
	return nil
}
