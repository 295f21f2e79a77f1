package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"millpond/internal/api"
	"millpond/internal/dashboard"
)

// printPeers writes a table of the peers that the box is connected with.
func printPeers(ctx context.Context, c Config, i invocation) error {
	w := i.stdout
	raw, err := askRaw(ctx, c, http.MethodGet, "peers", readToken(c), nil)
	if err != nil {
		return err
	}
	if i.json {
		return i.print(raw)
	}
	all, err := decodeAnswer[api.PeerList](c, raw)
	if err != nil {
		return err
	}
	if len(all.Peers) == 0 {
		fmt.Fprintln(w, "No other box is connected. Boxes on one network segment find each other; "+
			"others are named with MILLPOND_BOOTSTRAP.")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PEER\tADDRESS\tKIND\tPATH\tROUND TRIP\tTAKEN\tGIVEN\tHELD\tSCORE\tLAST FAULT")
	for _, p := range all.Peers {
		fault := p.LastFault
		if until := time.Until(p.BannedUntil); until > 0 {
			fault = fmt.Sprintf("banned for %s: %s", until.Round(time.Second), fault)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f ms\t%s\t%s\t%d\t%.2f\t%s\n", p.ID, p.Addr, p.Kind, p.Path, p.RTT,
			dashboard.FormatBytes(p.Taken), dashboard.FormatBytes(p.Given), p.Held, p.Score, fault)
	}
	return t.Flush()
}
