package fetch

import (
	"errors"
	"io/fs"

	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// blame decides who is not asked again after a mismatch.
func (d *download) blame(resumed bool) {
	d.f.stats.wrong.Add(1)
	var used []string
	for name, t := range d.tally {
		if t.used {
			used = append(used, name)
		}
	}
	switch {
	case resumed:
		// Bytes of an earlier process may have been torn by a power cut.
		d.log.Warn("a resumed download was wrong, it begins anew", "sources", used)
	case len(used) == 1:
		d.log.Error("wrong bytes from a source, fetching elsewhere", "source", used[0])
		const why = "sent bytes that do not match the digest"
		if t := d.tally[used[0]]; t.hearsay {
			d.passedOn(t, why)
		} else {
			d.liar(t, why)
		}
	default:
		d.solo = true
		d.log.Error("wrong bytes from one of several sources, asking each alone", "sources", used)
	}
}

// liar never asks t's provider again.
func (d *download) liar(t *tally, why string) { d.convict(t, Lied, why) }

// passedOn never asks t's provider again in this flight, and does not call it a
// liar: it may have taken the wrong bytes from one and have found out since.
func (d *download) passedOn(t *tally, why string) { d.convict(t, Failed, why) }

func (d *download) convict(t *tally, fault Fault, why string) {
	t.out, t.convicted, t.err = true, true, ErrWrongBytes
	t.provider.Report(Outcome{Fault: fault, Why: why})
}

// failed notes a provider's failure, after it had sent got bytes.
func (d *download) failed(p Provider, t *tally, err error, got int64) {
	t.err = err
	t.failures++
	if got >= progress {
		t.failures = 1
	}
	switch {
	case errors.Is(err, errWrongSize) && !d.entry.Release.IsZero() && p.Origin() == ledger.FromMirror:
		t.out = true
		d.log.Info("a mirror has another generation of a suite", "source", p.String(), "err", err)
	case errors.Is(err, errWrongSize):
		d.f.stats.wrong.Add(1)
		d.liar(t, err.Error())
		d.log.Error("a file of wrong size from a source, fetching elsewhere", "source", p.String(), "err", err)
	case definite(err):
		t.out = true
		d.log.Debug("a source does not give a file", "source", p.String(), "err", err)
	default:
		t.out = t.failures >= maxFailures
		d.report(p, err)
	}
}

// report tells how a provider failed that may do better next time. To be busy
// is no fault.
func (d *download) report(p Provider, err error) {
	switch {
	case errors.Is(err, ErrBusy):
		d.log.Debug("a peer is busy", "source", p.String())
		return
	case slow(err):
		p.Report(Outcome{Fault: Slow, Why: err.Error()})
	default:
		p.Report(Outcome{Fault: Failed, Why: err.Error()})
	}
	d.f.stats.resumed.Add(1)
	d.log.Warn("a download was cut, resuming", "source", p.String(), "err", err)
}

// definite reports whether asking the same provider again is useless.
func definite(err error) bool {
	var status *mirror.StatusError
	var refused *mirror.RefusedError
	var away *mirror.UnreachableError
	return errors.As(err, &status) || errors.As(err, &refused) || errors.As(err, &away) ||
		errors.Is(err, mirror.ErrOffline) || errors.Is(err, fs.ErrNotExist)
}

// telling picks which of two failures the client is told: a mirror's own
// answer says more than a broken connection, the later as much as the earlier.
func telling(a, b error) error {
	var status *mirror.StatusError
	if b == nil || errors.As(a, &status) && !errors.As(b, &status) {
		return a
	}
	return b
}

// verdict turns the failure of all providers into what the client is told.
func (d *download) verdict(answer error) error {
	wrong := make(map[ledger.Origin]bool)
	for _, t := range d.tally {
		if errors.Is(t.err, ErrWrongBytes) || errors.Is(t.err, errWrongSize) {
			wrong[t.provider.Origin()] = true
		}
	}
	switch {
	case wrong[ledger.FromMirror] && !d.entry.Release.IsZero():
		// The name is there with other bytes: the mirror was updated.
		d.f.expire(d.entry.Suite)
		return ErrMoved
	case wrong[ledger.FromMirror], wrong[ledger.FromPeer] && (answer == nil || errors.Is(answer, errWrongSize)):
		return ErrWrongBytes
	case answer == nil:
		return errNoProvider
	}
	return answer
}
