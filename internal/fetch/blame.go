package fetch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"

	"millpond/internal/fetch/pieces"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// blame decides which sources are not asked again after a mismatch that no manifest
// explains. doubtful says that there were bytes from before.
func (d *download) blame(doubtful bool) {
	used := slices.Sorted(maps.Keys(d.fl.senders()))
	log := d.fl.log
	switch t := d.sole(used); {
	case doubtful:
		log.Warn("resumed download wrong, beginning anew", "sources", used)
	case t != nil:
		log.Error("wrong bytes from a source, fetching elsewhere", "source", used[0])
		d.penalize(t, !t.inPart.unverified, "sent bytes that do not match the digest")
	default:
		d.solo = true
		log.Error("wrong bytes from one of several sources, asking each alone", "sources", used)
	}
}

// sole returns the one of the sources that there is; nil if there are more.
func (d *download) sole(used []string) *tally {
	if len(used) != 1 {
		return nil
	}
	return d.tallies[used[0]]
}

// worthAsking reports whether t's source may send the right bytes after wrong ones.
// What a cache on the way to a mirror held may have been wrong: caches are passed by
// from now on, which is tried once. Two answers of a mirror that were joined may
// have been of two files.
func (d *download) worthAsking(t *tally) bool {
	if t.cached && !d.fl.reload.Swap(true) {
		return true
	}
	return t.mayLeadElsewhere() || t.inPart.joined && t.failures < maxFailures
}

// mayLeadElsewhere reports whether t's source is a redirector that is worth another
// request.
func (t *tally) mayLeadElsewhere() bool { return t.led && t.failures < maxFailures }

// penalize reports the wrong bytes of t's source: as a lie if it had verified them,
// else as a failure, since it may have taken them from another box and have found
// out since. The source is not asked again unless it is a mirror worth asking.
func (d *download) penalize(t *tally, verified bool, why string) {
	t.failures++
	t.out, t.penalized, t.err = !d.worthAsking(t), true, ErrWrongBytes
	fault := peer.Failed
	if verified {
		fault = peer.Lied
	}
	t.source.Report(peer.Outcome{Fault: fault, Why: why})
}

// failed notes a source's failure, after it had sent got bytes. That its connection
// was needed for another client is none of its own.
func (d *download) failed(s source, t *tally, err error, got int64) {
	d.fl.fails()
	t.err = err
	if !errors.Is(err, mirror.ErrGaveWay) {
		t.failures++
	}
	t.inPart.joined = t.inPart.joined || got > 0 && s.Origin() == ledger.FromMirror
	if got >= progress {
		t.failures = 1
	}
	log := d.fl.log.With("source", s.String(), "err", err)
	switch {
	case errors.Is(err, errWrongSize) && !d.fl.entry.Release.IsZero() && s.Origin() == ledger.FromMirror:
		t.out = !d.worthAsking(t)
		log.Info("mirror has another generation of the suite")
	case errors.Is(err, errWrongSize):
		d.fl.f.stats.wrong.Add(1)
		d.penalize(t, true, err.Error())
		log.Error("wrong size from a source, fetching elsewhere")
	case definite(err) && !mayRecover(s, err):
		t.led = t.led || ledElsewhere(s, err)
		t.out = !t.mayLeadElsewhere()
		if m, ok := s.(mirrorSource); ok && m.busy(err) {
			d.busy = append(d.busy, m.server())
		}
		log.Debug("source does not have the file")
	case got == 0 && !verified(s) && !slow(err): // its own mirror may have failed
		t.out = t.failures >= maxFailures
		log.Debug("peer could not get the file")
	default:
		t.out = t.failures >= maxFailures
		d.report(s, err)
	}
}

// report tells how a source failed that may do better next time. To be busy
// is no fault.
func (d *download) report(s source, err error) {
	fault := peer.Failed
	switch {
	case errors.Is(err, peer.ErrBusy), errors.Is(err, mirror.ErrGaveWay):
		d.fl.log.Debug("source busy", "source", s.String(), "err", err)
		return
	case errors.Is(err, pieces.ErrSilent):
		fault = peer.Stalled
	case slow(err):
		fault = peer.Slow
	}
	if d.tallyOf(s).silent == nil || fault != peer.Slow { // or else reportSilent does so
		s.Report(peer.Outcome{Fault: fault, Why: err.Error()})
	}
	d.fl.f.stats.resumed.Add(1)
	d.fl.log.Warn("download cut, resuming", "source", s.String(), "err", err)
}

// slow reports whether err means that bytes did not arrive in time.
func slow(err error) bool {
	return errors.Is(err, peer.ErrStalled) || errors.Is(err, mirror.ErrStalled) || errors.Is(err, mirror.ErrTooSlow) || errors.Is(err, pieces.ErrSlow) || errors.Is(err, pieces.ErrOvertaken)
}

// definite reports whether asking the same source again is useless.
func definite(err error) bool {
	if errors.Is(err, mirror.ErrSlow) {
		return false
	}
	var answer *mirror.AnswerError
	if errors.As(err, &answer) && !errors.Is(err, io.ErrUnexpectedEOF) { // none that broke off
		return true
	}
	var status *mirror.StatusError
	var refused *mirror.RefusedError
	var unreachable *mirror.UnreachableError
	var upstream *mirror.UpstreamError
	return errors.As(err, &status) || errors.As(err, &refused) || errors.As(err, &unreachable) || errors.As(err, &upstream) ||
		errors.Is(err, mirror.ErrOffline) || errors.Is(err, fs.ErrNotExist)
}

// busy reports whether err says that m is overloaded or does not answer, which goes
// for other names of the same file, too: mirror.Client.Get has tried again.
func (m mirrorSource) busy(err error) bool {
	var status *mirror.StatusError
	if errors.As(err, &status) {
		return !m.leads(status.URL) && (status.Code == http.StatusTooManyRequests || status.Code == http.StatusServiceUnavailable)
	}
	var away *mirror.UnreachableError
	return errors.As(err, &away) && (away.Host == m.host() || strings.HasPrefix(away.Host, m.host()+":"))
}

// ledElsewhere reports whether err is the answer of a host that s redirected to: it
// may redirect to a better one the next time.
func ledElsewhere(s source, err error) bool {
	m, ok := s.(mirrorSource)
	var status *mirror.StatusError
	var answer *mirror.AnswerError
	switch {
	case !ok:
		return false
	case errors.As(err, &status):
		return m.leads(status.URL)
	case errors.As(err, &answer):
		return m.leads(answer.URL)
	}
	return false
}

// mayRecover reports whether s was tried only once, since there are other mirrors,
// and failed in a way that a further try may not.
func mayRecover(s source, err error) bool {
	m, ok := s.(mirrorSource)
	return ok && m.request.Failover && mirror.IsUnreachable(err) && !errors.Is(err, mirror.ErrOffline)
}

// moreTelling picks which of two failures the client is told: a mirror's own
// answer says more than a broken connection, and that says more than what another box
// failed with; otherwise the later one.
func moreTelling(a, b error) error {
	if b == nil || telling(a) > telling(b) {
		return a
	}
	return b
}

func telling(err error) int {
	var status *mirror.StatusError
	var box *PeerError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &box):
		return 1
	case errors.As(err, &status):
		return 3
	}
	return 2
}

// toldOf is what the client is told of the failure of s.
func toldOf(s source, err error) error {
	if err != nil && s.Origin() == ledger.FromPeer {
		return &PeerError{err}
	}
	return err
}

// verdict turns the failure of all sources into what the client is told.
func (d *download) verdict(answer error) error {
	wrong := make(map[ledger.Origin]bool)
	for _, t := range d.tallies {
		if errors.Is(t.err, ErrWrongBytes) || errors.Is(t.err, errWrongSize) {
			wrong[t.source.Origin()] = true
		}
	}
	e := d.fl.entry
	switch {
	case wrong[ledger.FromMirror] && !e.Release.IsZero():
		// The name is there with other bytes: the mirror was updated.
		d.fl.f.releases.Expire(e.Suite)
		return ErrMoved
	case wrong[ledger.FromMirror], wrong[ledger.FromPeer] && (answer == nil || errors.Is(answer, errWrongSize)):
		return fmt.Errorf("mirror %s: %w", e.Location.Host, ErrWrongBytes)
	case answer == nil:
		return ErrNoSource
	}
	return answer
}
