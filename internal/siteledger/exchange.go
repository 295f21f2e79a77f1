package siteledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"millpond/internal/api"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

const (
	// atOnce is how many boxes are asked at a time. Their answers are up to 1 MiB each.
	atOnce = 16
	// retryAfter is when a box is asked again that has given no figures since it came.
	retryAfter = 5 * time.Second
	// maxBackOff is how long a local box is left alone at most that gives none: of all 256
	// neighbours that there may be, one or two are asked in a second then.
	maxBackOff = 4 * time.Minute
	// maxMore is how often in a row a box is asked at once for more: it has 4,000 buckets
	// of a step at most, and sends 512.
	maxMore = 10
)

var _ peer.Reporter = (*Site)(nil)

// Report implements peer.Reporter.
func (s *Site) Report(_ context.Context, by peer.Asker, asked []byte) ([]byte, error) {
	if by.Kind < peer.Local {
		return nil, fmt.Errorf("figures are not for a %s", by.Kind)
	}
	q, err := parseQuestion(asked)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	r := s.current()
	if q.series {
		if err := s.ownPoints(&r, q, now); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.count(&s.own) // of the same survey as the details
	r.Name = s.names.all[nameKey(namedBox, s.ID)].text
	member := by.Kind == peer.Member
	if member || s.Privacy.LocalsMayLook {
		d := &s.details[0]
		if q.noClients {
			d = &s.details[1]
		}
		if r.DetailsVersion = d.version; r.DetailsVersion != q.details {
			r.details = &d.details
		}
	}
	if member {
		if r.names, r.namesVersion = s.names.list(!q.noNames); r.namesVersion == q.names {
			r.names = nil
		}
	}
	return r.encode(), nil
}

// current is what this box tells of itself, without lists.
func (s *Site) current() Report {
	counts, began := s.Ledger.Totals()
	var r Report
	s.mu.Lock()
	r.count(&s.own)
	s.mu.Unlock()
	r.Ledger, r.Version, r.Began = s.ledgerID, s.Version, max(began.Unix(), 0)
	r.Counts, r.Rates, r.Holdings = counts, s.rates.perSecond(), s.Holdings()
	r.Serves = s.ServedAt()
	r.Faults = slices.Clone(s.Faults())
	slices.SortStableFunc(r.Faults, func(a, b api.Fault) int { return cmp.Compare(severity(b), severity(a)) })
	r.Faults = r.Faults[:min(len(r.Faults), maxFaults)]
	return r
}

// count takes the sizes of the lists that a survey read.
func (r *Report) count(own *Report) {
	r.Clients, r.Packages, r.Suites = own.Clients, own.Packages, own.Suites
}

// severity orders faults: a fatal one counts most.
func severity(f api.Fault) int {
	switch {
	case f.Fatal:
		return 2
	case f.Urgent:
		return 1
	}
	return 0
}

// survey reads the lists of clients, packages and suites.
func (s *Site) survey(now time.Time) {
	d := details{suites: s.InUse(), clientsTold: !s.Privacy.NoClients}
	suites := int64(len(d.suites))
	d.suites = d.suites[:min(len(d.suites), maxSuites)]
	clients, err := s.surveyClients()
	packages, top, err2 := s.surveyPackages()
	if err := errors.Join(err, err2); err != nil {
		s.Log.Warn("clients and packages not counted for the figures of the site", "err", err)
		return
	}
	d.top, d.packages = top, newSketch(packages)
	own := Report{Clients: int64(len(clients)), Packages: int64(len(packages)), Suites: suites}
	if d.clientsTold {
		d.clients = newSketch(clients)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own, s.details = own, [2]versioned{d.versioned(), d.without().versioned()}
	s.changed++
}

func (s *Site) surveyClients() (hashes []uint64, err error) {
	for a, err := range s.Ledger.Clients("") {
		if err != nil {
			return nil, err
		}
		if addr, err := netip.ParseAddr(a.Name); err == nil { // else that of all others
			hashes = append(hashes, s.hash(addr))
		}
	}
	return hashes, nil
}

func (s *Site) surveyPackages() (hashes []uint64, top []Package, err error) {
	for a, err := range s.Ledger.Packages("") {
		if err != nil {
			return nil, nil, err
		}
		if a.Name == ledger.NoPackage || a.Name == ledger.Others {
			continue
		}
		hashes = append(hashes, s.hashOf("package", a.Name))
		top = append(top, Package{a.Name, a.Counts})
		if len(top) >= 2*maxTop {
			top = mostSaved(top)
		}
	}
	return hashes, mostSaved(top), nil
}

// mostSaved returns the packages with which most was saved, the first one most.
func mostSaved(all []Package) []Package {
	slices.SortFunc(all, func(a, b Package) int {
		return cmp.Or(cmp.Compare(b.Saved(), a.Saved()), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), maxTop)]
}

// ask asks the boxes whose figures are old, members first.
func (s *Site) ask(ctx context.Context) {
	neighbours := s.Swarm.Reporters()
	slices.SortStableFunc(neighbours, func(a, b peer.Neighbour) int { return cmp.Compare(b.Kind, a.Kind) })
	var asking errgroup.Group
	asking.SetLimit(atOnce)
	for _, n := range s.due(neighbours, time.Now()) {
		asking.Go(func() error {
			err := s.askOne(ctx, n)
			s.answered(n.ID, err == nil)
			if err != nil && ctx.Err() == nil {
				s.Log.Debug("no figures from a box", "box", n.ID, "err", err)
			}
			return nil
		})
	}
	_ = asking.Wait() // the functions log
}

// due returns which of the connected boxes are to be asked now.
func (s *Site) due(neighbours []peer.Neighbour, now time.Time) (due []peer.Neighbour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	every := askEvery
	if now.Sub(s.looked) < lookFor {
		every = lookEvery
	}
	connected := make(map[string]bool)
	for _, n := range neighbours {
		connected[n.ID] = true
		r := s.boxes[n.ID]
		wait, last := every, s.tried[n.ID]
		if r == nil || !r.connected {
			wait = retryAfter
		}
		wait = max(wait, last.backOff(n.Kind))
		if r != nil && r.more > 0 && last.failed == 0 || now.Sub(last.at) >= wait {
			due = append(due, n)
			s.tried[n.ID] = attempt{now, last.failed}
		}
	}
	maps.DeleteFunc(s.tried, func(id string, _ attempt) bool { return !connected[id] })
	for id, r := range s.boxes {
		if r.connected && !connected[id] {
			r.connected = false
			s.warn("keeping what a box told that left", s.saveBox(r, now))
		}
	}
	return due
}

// attempt is when a box was last asked.
type attempt struct {
	at     time.Time
	failed int // how often in a row it gave no figures
}

// backOff is how long a box is left alone that gave none. Each may take 2 s of the time in
// which all are asked, so that many that give none would keep the others waiting.
func (a attempt) backOff(kind peer.Kind) time.Duration {
	most := maxBackOff
	if kind == peer.Member {
		most = askEvery // later, it would be away
	}
	if a.failed == 0 {
		return 0
	}
	return min(retryAfter<<min(a.failed-1, 10), most)
}

// answered notes whether a box that was asked gave figures.
func (s *Site) answered(id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, known := s.tried[id]
	if a.failed++; ok {
		a.failed = 0
	}
	if known {
		s.tried[id] = a
	}
}

// askOne asks a box and keeps what it tells.
func (s *Site) askOne(ctx context.Context, n peer.Neighbour) error {
	q := s.questionFor(n.ID, time.Now())
	answer, err := s.Swarm.AskReport(ctx, n.ID, q.encode())
	if err != nil {
		return err
	}
	report, err := parseReport(answer)
	if err != nil {
		s.Swarm.Misreported(n.ID, err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(n, report, q, time.Now())
}

// questionFor is what a box is asked: what it has told already it need not tell again.
func (s *Site) questionFor(id string, now time.Time) question {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := question{noClients: s.Privacy.NoClients, noNames: s.Privacy.NoNames, series: true}
	r := s.boxes[id]
	if r == nil {
		return q
	}
	q.details, q.names, q.ledger = r.detailsVersion, r.namesVersion, r.report.Ledger
	if !r.namesAgain.IsZero() && !now.Before(r.namesAgain) {
		q.names, r.namesAgain = 0, time.Time{}
	}
	for i, p := range r.newest {
		q.newest[i] = max(p.Start.Unix(), 0)
	}
	q.series = r.more > 0 || now.Sub(r.seriesAsked) >= askEvery
	if q.series {
		r.seriesAsked = now
	}
	return q
}

// take keeps the answer of a box to q. s.mu must be held.
func (s *Site) take(n peer.Neighbour, report *Report, q question, now time.Time) error {
	r := s.boxes[n.ID]
	if r == nil {
		ok, err := s.admit(n, now)
		if err != nil || !ok {
			return cmp.Or(err, errors.New("there are too many boxes"))
		}
		r = &record{id: n.ID, seriesAsked: now}
		s.boxes[n.ID] = r
	}
	another := q.ledger != 0 && q.ledger != report.Ledger
	lists, told, series := report.details, report.names, report.series
	r.namesVersion = report.namesVersion
	switch {
	case another:
		r.more = maxMore
	case !report.more:
		r.more = 0
	case r.more == 0 && q.series:
		r.more = maxMore
	case r.more > 0:
		r.more-- // to 0 for a box that always has more
	}
	report.details, report.names, report.series = nil, nil, [steps][]ledger.Point{}
	r.kind, r.party, r.connected, r.seen, r.report = n.Kind, n.Party, true, now, *report
	r.clients.count, r.packages.count = report.Clients, report.Packages
	s.changed++
	var err error
	if another { // what was kept of the one before is no part of its figures
		err = s.dropPoints(r)
	} else if q.series {
		err = s.takePoints(r, &series, now)
	}
	switch {
	case lists != nil:
		r.take(lists)
		r.detailsVersion = report.DetailsVersion
		err = errors.Join(err, s.saveSets(r))
	case report.DetailsVersion != r.detailsVersion: // none for this box
		r.take(new(details))
		r.packages.told, r.detailsVersion = false, report.DetailsVersion
		err = errors.Join(err, s.saveSets(r))
	}
	if n.Kind == peer.Member && told != nil {
		again, fault := s.learn(told, n.ID, now)
		r.namesAgain, err = again, errors.Join(err, fault)
	}
	if now.Sub(r.saved) >= saveEvery {
		err = errors.Join(err, s.saveBox(r, now))
	}
	return errors.Join(err, s.supersede(r, now))
}
