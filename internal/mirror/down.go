package mirror

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxDown bounds how many hosts are remembered as down.
const maxDown = 1024

// errLeftAlone says that no request was sent, since the host did not answer
// shortly before.
var errLeftAlone = errors.New("not asked again yet")

// down remembers hosts that did not answer.
type down struct {
	lasts time.Duration

	mu    sync.Mutex
	hosts map[string]outage // by host:port; guarded by mu
}

type outage struct {
	until time.Time
	cause error
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
	if d.hosts == nil {
		d.hosts = make(map[string]outage)
	}
	if len(d.hosts) >= maxDown {
		d.makeRoom(now)
	}
	d.hosts[host] = outage{until: now.Add(d.lasts), cause: cause}
}

// makeRoom drops expired outages, or else any one: that host only gets a request
// sooner.
// d.mu is held.
func (d *down) makeRoom(now time.Time) {
	for host, o := range d.hosts {
		if !now.Before(o.until) {
			delete(d.hosts, host)
		}
	}
	for host := range d.hosts {
		if len(d.hosts) < maxDown {
			return
		}
		delete(d.hosts, host)
	}
}

// clear notes that host answered.
func (d *down) clear(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.hosts, host)
}
