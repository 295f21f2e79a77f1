package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"millpond/internal/api"
	"millpond/internal/fetch"
	"millpond/internal/kv"
	"millpond/internal/siteledger"
	"millpond/internal/store"
	"millpond/internal/swarm"
)

// kept are the rows that neither blobs nor mirrors tell again: the ledger, bans, rings, what other boxes told and names,
// pins, what clients requested and what fetching that ahead cost, which Release files are
// held and how good they were, and where blobs came from.
var kept = []kv.Kept{
	{Table: "identity"},
	{Table: "ledger"},
	{Table: "daily"},
	{Datastore: "swarm", Rows: swarm.Kept},
	{Table: "rings"},
	{Table: "site", Rows: siteledger.Kept},
	{Table: "store", Rows: store.Pinned},
	{Table: "prefetch"},
	{Table: "names", Rows: fetch.Kept},
	{Table: "store", Rows: store.Known},
}

// openDatabase opens the database in the data directory dir.
func openDatabase(dir string, log *slog.Logger) (*kv.DB, error) {
	return kv.Open(databaseDir(dir), log, kept...)
}

// databaseDir is where the database is in the data directory dir.
func databaseDir(dir string) string { return filepath.Join(dir, "db") }

// openParts opens the database and what reads it, and once more if that turns out to
// be damaged: then it is set aside.
func (a *Appliance) openParts() error {
	err := a.openDataDir()
	if errors.Is(err, kv.ErrDamaged) {
		if err := a.close(); err != nil {
			a.log.Warn("the damaged database was not closed in order", "err", err)
		}
		err = a.openDataDir()
	}
	return err
}

// databaseFaults tell what was lost with a database, and what is about to be.
func (a *Appliance) databaseFaults() (all []api.Fault) {
	if err := a.db.Damage(); err != nil {
		all = append(all, api.Fault{What: "database", Why: fmt.Sprintf(
			"%v; at the next start it is set aside, and its figures restored from the copy beside it: restart the box", err)})
	}
	r, ok := a.db.Recovered()
	if !ok {
		return all
	}
	was := "was missing at the start"
	switch {
	case r.SetAside != "":
		was = fmt.Sprintf("could not be read at the start and was set aside as %s", r.SetAside)
	case r.Why != nil:
		was = "could not be read at the start and was removed since, for lack of room or as clients were erased"
	}
	restored := "there was no copy of its figures, pins and bans, which begin anew"
	if !r.Restored.IsZero() {
		restored = "figures, pins, bans and names are as they were at " + r.Restored.UTC().Format(time.DateTime) + " UTC"
	}
	return append(all, api.Fault{What: "database", Why: fmt.Sprintf(
		"%s; %s; files are kept; this is shown until the next start", was, restored)})
}
