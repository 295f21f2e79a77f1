package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"millpond/internal/api"
	"millpond/internal/store"
)

// faults lists what keeps the box from serving well.
func (a *Appliance) faults() []api.Fault {
	var all []api.Fault
	if since := a.draining().Since; !since.IsZero() {
		all = append(all, api.Fault{What: "drain", Why: "the box is being taken out since " + since.Format(time.RFC3339) + "; a restart ends that", Fatal: true})
	}
	if _, err := a.store.DiskFree(); err != nil {
		all = append(all, api.Fault{What: "store", Why: err.Error(), Fatal: true})
	} else if err := cmp.Or(a.store.Err(), a.db.Err()); err != nil {
		all = append(all, api.Fault{What: "disk", Urgent: true, Why: fmt.Sprintf(
			"files are not being kept, and pass through to clients (MILLPOND_DATA_DIR): %v", err)})
	}
	all = append(all, storeFaults(a.store.Trouble(), a.verifier.Restored())...)
	if err := a.ledger.Err(); err != nil {
		all = append(all, api.Fault{What: "ledger", Why: "the figures are not safe: " + err.Error()})
	}
	all = append(all, a.databaseFaults()...)
	for _, why := range a.rings.Full() {
		all = append(all, api.Fault{What: "rings", Why: why})
	}
	all = append(all, a.identityFaults()...)
	if c := a.config.certificate; c != nil {
		if err := c.Err(); err != nil {
			all = append(all, api.Fault{What: "certificate", Why: err.Error() + " (MILLPOND_TLS_CERT)"})
		}
	}
	all = append(all, a.lists.faults()...)
	all = append(all, a.names.faults()...)
	if a.config.Offline {
		all = append(all, api.Fault{What: "mirrors", Why: "the box is offline by setting (MILLPOND_OFFLINE); only what is held is served"})
	}
	if proxy := a.mirror.AwayUpstream(); proxy != "" {
		all = append(all, api.Fault{What: "upstream proxy " + proxy, Why: "does not answer (MILLPOND_UPSTREAM_PROXY); what is held is served"})
	}
	away := a.mirror.Away()
	slices.Sort(away)
	for _, host := range away {
		all = append(all, api.Fault{What: "mirror " + host, Why: "does not answer; what is held of it is served"})
	}
	return all
}

// storeFaults lists what is wrong with the files of the store, of which some were fetched
// again.
func storeFaults(t store.Trouble, restored int) (all []api.Fault) {
	add := func(why string, args ...any) {
		all = append(all, api.Fault{What: "store", Why: fmt.Sprintf(why, args...)})
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if t.Damaged > 0 {
		add("%d files were found damaged within a day and removed, the last one at %s; %d were fetched again; check the disk (MILLPOND_DATA_DIR)", t.Damaged, at(t.DamagedAt), restored)
	}
	if t.Missing > 0 {
		add("%d files disappeared from blobs/ within a day, the last one at %s; something else than the box removes them (MILLPOND_DATA_DIR)", t.Missing, at(t.MissingAt))
	}
	return all
}
