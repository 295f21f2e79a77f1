// Package turns runs jobs of several parties, a few at once and the parties in turn.
//
// What one party has waiting does not hold up the others, and jobs that come first
// wait for one of the others at most. What waits is bounded. Lock order: nothing
// is called with the lock held but Go.
package turns

import "sync"

// Bounds of a Queue.
type Bounds struct {
	// AtOnce is how many jobs run at the same time, and OthersAtOnce how many of them
	// are not among the first.
	AtOnce, OthersAtOnce int
	// First and Others bound the jobs that wait, each some 300 bytes; and OfParty those
	// of one party that are not among the first.
	First, Others, OfParty int
}

// Job is some work.
type Job struct {
	Party string
	First bool
	Do    func()
	Done  func() // called when Do has returned, or when Do will not be called
}

// Queue is safe for concurrent use.
type Queue struct {
	bounds Bounds
	start  func(func()) // runs a goroutine
	ended  func() bool  // nothing is to start any more

	mu            sync.Mutex // guards what follows
	running       int
	othersRunning int
	first, others line
}

// line are the jobs that wait: of each party those in the order in which they
// came, and the parties in the order of their turns.
type line struct {
	parties []string
	jobs    map[string][]Job
	n       int
}

// New returns a Queue within bounds whose goroutines start runs, and that starts nothing once
// ended reports true.
func New(b Bounds, start func(func()), ended func() bool) *Queue {
	return &Queue{bounds: b, start: start, ended: ended}
}

// Add has j done, and returns at once. If too many jobs wait, or nothing is to start
// any more, j.Done is called at once, and queued is false.
func (q *Queue) Add(j Job) (queued bool) {
	q.mu.Lock()
	queued = !q.ended() && q.admit(j)
	q.next()
	q.mu.Unlock()
	if !queued {
		j.Done()
	}
	return queued
}

func (q *Queue) admit(j Job) bool {
	if j.First {
		return q.first.n < q.bounds.First && q.first.add(j)
	}
	return q.others.n < q.bounds.Others && len(q.others.jobs[j.Party]) < q.bounds.OfParty && q.others.add(j)
}

// next starts what can run. q.mu is held.
func (q *Queue) next() {
	for q.running < q.bounds.AtOnce && !q.ended() {
		var j Job
		switch {
		case q.first.n > 0:
			j = q.first.take()
		case q.others.n > 0 && q.othersRunning < q.bounds.OthersAtOnce:
			j = q.others.take()
			q.othersRunning++
		default:
			return
		}
		q.running++
		q.start(func() { q.run(j) })
	}
}

func (q *Queue) run(j Job) {
	defer func() {
		q.mu.Lock()
		q.running--
		if !j.First {
			q.othersRunning--
		}
		q.next()
		left := q.leave()
		q.mu.Unlock()
		for _, j := range left {
			j.Done()
		}
	}()
	defer j.Done()
	j.Do()
}

// leave returns the jobs that wait in vain. q.mu is held.
func (q *Queue) leave() (all []Job) {
	if !q.ended() {
		return nil
	}
	for _, l := range []*line{&q.first, &q.others} {
		for l.n > 0 {
			all = append(all, l.take())
		}
	}
	return all
}

func (l *line) add(j Job) bool {
	if l.jobs == nil {
		l.jobs = make(map[string][]Job)
	}
	if len(l.jobs[j.Party]) == 0 {
		l.parties = append(l.parties, j.Party)
	}
	l.jobs[j.Party] = append(l.jobs[j.Party], j)
	l.n++
	return true
}

// take returns the first job of the party whose turn it is.
func (l *line) take() Job {
	party := l.parties[0]
	l.parties = l.parties[1:]
	j := l.jobs[party][0]
	if rest := l.jobs[party][1:]; len(rest) > 0 {
		l.jobs[party], l.parties = rest, append(l.parties, party)
	} else {
		delete(l.jobs, party)
	}
	l.n--
	return j
}
