package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"millpond/internal/api"
)

const (
	// askNames is how often the names of MILLPOND_HOSTS are looked up, and askAgain how
	// often while something is wrong: people who correct a DNS server look at the box.
	askNames = 10 * time.Minute
	askAgain = time.Minute
	// maxNamesAsked bounds the names of one round, and askLimit the time for each.
	maxNamesAsked = 8
	askLimit      = 10 * time.Second
)

// nameCheck finds out whether the box itself gets the real addresses of the names that
// lead clients to it.
type nameCheck struct {
	check func(ctx context.Context, name string) error // nil if a name is as it should be

	mu    sync.Mutex
	fault error // of the last round; guarded by mu
}

// checkNames is a part of Run.
func (a *Appliance) checkNames(ctx context.Context) error {
	for {
		err := a.names.round(ctx, namesToAsk(a.lists.hosts()))
		if ctx.Err() != nil {
			return nil
		}
		wait := askNames
		if changed := a.names.note(err); err != nil {
			wait = askAgain
			if changed {
				a.log.Warn("a name of MILLPOND_HOSTS is not resolved as it should be", "setting", prefix+"RESOLVER", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// namesToAsk are names of hosts, some of them where a word or a wildcard stands for many.
func namesToAsk(hosts []string) (names []string) {
	for _, host := range hosts {
		switch {
		case host == "default":
			names = append(names, "deb"+strings.TrimPrefix(defaultHosts[0], "*"), "archive"+strings.TrimPrefix(defaultHosts[1], "*"))
		case !strings.HasPrefix(host, "*."):
			names = append(names, host)
		}
	}
	return names[:min(len(names), maxNamesAsked)]
}

// round looks up names, one after the other, until one is not as it should be.
func (n *nameCheck) round(ctx context.Context, names []string) error {
	for _, name := range names {
		limited, cancel := context.WithTimeout(ctx, askLimit)
		err := n.check(limited, name)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// note keeps the outcome of a round, and reports whether it is another one than before.
func (n *nameCheck) note(err error) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = (err == nil) != (n.fault == nil)
	n.fault = err
	return changed
}

func (n *nameCheck) faults() []api.Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault == nil {
		return nil
	}
	return []api.Fault{{What: "MILLPOND_HOSTS", Why: "clients are led to the box, which cannot reach the archive itself: " + n.fault.Error()}}
}
