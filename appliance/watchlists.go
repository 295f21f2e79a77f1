package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"millpond/internal/api"
)

const (
	// lookEvery is how often the files with lists are read. Reading finds what the
	// kernel's notices miss: the links of a mounted ConfigMap, network file systems.
	lookEvery = time.Second
	// maxLogged bounds the entries that a line of the log names.
	maxLogged = 20
)

// hostLists keeps the lists of hosts in step with their files.
type hostLists struct {
	log *slog.Logger
	use func(Config) error // has the lists of a configuration count

	mu     sync.Mutex // guards what follows
	config Config     // with the lists in force
}

// watchLists is a part of Run.
func (a *Appliance) watchLists(ctx context.Context) error {
	if len(a.config.lists) == 0 {
		return nil
	}
	return every(ctx, lookEvery, func() { a.lists.look(false) })
}

// useLists has the lists of c count for what is asked from now on.
func (a *Appliance) useLists(c Config) error {
	p, err := c.policy()
	if err != nil {
		return err
	}
	a.policy.Replace(p)
	a.proxy.Replace(c.names, c.Tunnels.hosts)
	return nil
}

// look reads the files, and has a change count when two looks in a row have seen the same,
// or now. A file that cannot be used leaves its former list in force.
func (h *hostLists) look(now bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.config.lists {
		text, err := l.read()
		content := contentOf(text, err)
		settled := now || content == l.seen
		l.seen = content
		if settled && (now || content != l.used) {
			l.used = content
			h.take(l, text, err)
		}
	}
}

// take uses what was read of a file. mu is held.
func (h *hostLists) take(l *listFile, text []byte, err error) {
	entries, err := l.parse(text, err)
	if l.fault = err; err != nil {
		h.log.Warn("list of hosts unusable, the former one stays in force", "setting", l.name(), "err", err)
		return
	}
	former := l.entries
	added, removed := without(entries, former), without(former, entries)
	if len(added)+len(removed) == 0 {
		return
	}
	next := h.config
	l.entries = entries
	if err = next.takeList(l); err == nil {
		err = h.use(next)
	}
	if err != nil {
		l.entries, l.fault = former, err
		h.log.Warn("list of hosts unusable, the former one stays in force", "setting", l.name(), "err", err)
		return
	}
	h.config = next
	h.log.Info("list of hosts changed", "list", l.name(), "file", l.path, "entries", len(entries),
		"added", len(added), "removed", len(removed), "new", added[:min(len(added), maxLogged)], "gone", removed[:min(len(removed), maxLogged)])
}

// without returns what is in all, which is sorted, and not in others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		_, found := slices.BinarySearch(others, s)
		return found
	})
}

// faults are the files that cannot be used.
func (h *hostLists) faults() (all []api.Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.config.lists {
		if l.fault != nil {
			all = append(all, api.Fault{What: l.name(), Why: "the former list stays in force, correct the file: " + l.fault.Error()})
		}
	}
	return all
}

// hosts are the names in force that lead clients to the box.
func (h *hostLists) hosts() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.config.Hosts
}
