package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"millpond/internal/api"
	"millpond/internal/clients"
	"millpond/internal/dashboard"
	"millpond/internal/hostnames"
	"millpond/internal/ledger"
)

const (
	// maxDays bounds how long clients are kept, so that the time fits its type.
	maxDays = 36500
	// purgeEvery is how long what was removed for its age may stay in the
	// database's files. A purge reads and writes all of it.
	purgeEvery = 24 * time.Hour
)

// parsePrivacy reads what is not kept about clients.
func parsePrivacy(s string) (p api.Privacy, err error) {
	for _, entry := range parseList(s) {
		days, isDays := strings.CutPrefix(entry, "days=")
		switch {
		case entry == "no-client-names":
			p.NoClientNames = true
		case entry == "no-packages-per-client":
			p.NoPackagesPerClient = true
		case entry == "no-clients":
			p.NoClients, p.NoClientNames, p.NoPackagesPerClient = true, true, true
		case isDays && p.Days > 0:
			return p, errors.New("days twice")
		case isDays:
			if p.Days, err = strconv.Atoi(days); err != nil || p.Days < 1 || p.Days > maxDays {
				return p, fmt.Errorf("%q: not a number of days from 1 to %d", entry, maxDays)
			}
		default:
			return p, fmt.Errorf("no such word: %q", entry)
		}
	}
	return p, nil
}

// keepOf is how long clients are kept, 0 for good.
func keepOf(p api.Privacy) time.Duration { return time.Duration(p.Days) * 24 * time.Hour }

// notesTable is where the notes about clients are.
const notesTable = "clients"

// openNotes opens the notes about clients, as far as the setting allows them.
func (a *Appliance) openNotes() error {
	p := a.config.Privacy
	notes, removed, err := clients.Open(a.db.Table(notesTable), clients.Privacy{
		NoClients: p.NoClients, NoPackages: p.NoPackagesPerClient, Keep: keepOf(p),
	}, a.log.With("part", "clients"))
	if err == nil && removed {
		a.log.Info("removed notes about clients (MILLPOND_PRIVACY)")
		err = a.db.Purge()
	}
	a.notes = notes
	return err
}

// restrictLedger applies the setting to the ledger, and to what an earlier run left
// in its files.
func (a *Appliance) restrictLedger() error {
	p := a.config.Privacy
	removed, err := a.ledger.Restrict(ledger.Privacy{NoClients: p.NoClients, NoPackages: p.NoPackagesPerClient, Keep: keepOf(p)})
	if err == nil && removed {
		a.log.Info("removed what was kept about clients (MILLPOND_PRIVACY)")
		err = a.db.Purge()
	}
	return err
}

// eventsTable is where events are.
const eventsTable = "events"

// newEvents returns events that keep about clients what p allows.
func newEvents(p api.Privacy) *dashboard.Events {
	return &dashboard.Events{Keep: keepOf(p), NoClients: p.NoClients, NoLinks: p.NoPackagesPerClient}
}

// openEvents reads the events of earlier runs, and applies the setting to what they left
// in the database's files.
func (a *Appliance) openEvents() error {
	removed, err := a.events.Open(a.db.Table(eventsTable))
	// What is logged while the other parts are closed.
	a.opened(func() error { return a.unlessFull(a.events.Flush()) })
	if err == nil && removed {
		a.log.Info("removed what events had of clients (MILLPOND_PRIVACY)")
		err = a.db.Purge()
	}
	return err
}

// resolver looks up the names of clients, nil if they are to have none.
func (a *Appliance) resolver() hostnames.Resolver {
	if a.config.Privacy.NoClientNames {
		return nil
	}
	return net.DefaultResolver
}

// eraseClient removes a client from all that is kept below the dashboard.
func (a *Appliance) eraseClient(client netip.Addr) (known bool, err error) {
	a.proxy.Forget(client)
	return eraseFrom(a.ledger, a.notes, a.site, a.db, client)
}

// purge takes what the ledger removed for its age out of the database's files, until
// ctx ends.
func (a *Appliance) purge(ctx context.Context) error {
	if a.config.Privacy.Days == 0 {
		return nil
	}
	return every(ctx, purgeEvery, func() {
		if err := a.db.Purge(); err != nil {
			// The next one may succeed.
			a.log.Warn("what is older than MILLPOND_PRIVACY allows is removed, but may still be in the database's files", "err", err)
		}
	})
}
