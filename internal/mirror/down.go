package mirror

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxDown bounds how many hosts are remembered.
	maxDown = 1024
	// maxSilent is how many files in a row a host may leave unanswered. It is
	// files that count: one that takes too long is asked for again and again.
	maxSilent = 3
)

// errLeftAlone says that no request was sent, since the host did not answer
// shortly before.
var errLeftAlone = errors.New("not asked again yet")

// down remembers hosts that did not answer, each until its next answer.
type down struct {
	lasts time.Duration

	mu    sync.Mutex
	hosts map[string]outage // by host:port; guarded by mu
}

// outage is what is known of a host since its last answer.
type outage struct {
	until  time.Time // zero if it is not down, or not yet
	cause  error
	silent []string // URLs of files to which no answer came, fewer than maxSilent
}

// cause returns why host gets no request, or nil if it may get one.
func (d *down) cause(host string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.hosts[host]
	if !ok || !time.Now().Before(o.until) {
		return nil
	}
	return fmt.Errorf("%w: %w", errLeftAlone, o.cause)
}

// mark notes that host is down from now on.
func (d *down) mark(host string, cause error, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(host, outage{until: now.Add(d.lasts), cause: cause}, now)
}

// silent notes that host gave no answer to the request for url. It is down, and
// true is returned, if it has left others unanswered since its last answer.
func (d *down) silent(host, url string, cause error, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.hosts[host]
	if slices.Contains(o.silent, url) {
		return false
	}
	last := len(o.silent) == maxSilent-1
	if last {
		o.until, o.cause = now.Add(d.lasts), cause
	} else {
		o.silent = append(o.silent, url)
	}
	d.put(host, o, now)
	return last
}

// put remembers o.
// d.mu is held.
func (d *down) put(host string, o outage, now time.Time) {
	if d.hosts == nil {
		d.hosts = make(map[string]outage)
	}
	if len(d.hosts) >= maxDown {
		makeRoom(d.hosts, now)
	}
	d.hosts[host] = o
}

// makeRoom drops from m, which is full, what is over by now or has not begun, or
// else any one: that host or file only gets a request sooner.
func makeRoom[K comparable, V interface{ end() time.Time }](m map[K]V, now time.Time) {
	for k, v := range m {
		if !now.Before(v.end()) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) < maxDown {
			return
		}
		delete(m, k)
	}
}

func (o outage) end() time.Time { return o.until }

// clear notes that host answered.
func (d *down) clear(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.hosts, host)
}
