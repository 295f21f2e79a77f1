package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"millpond/internal/api"
	"millpond/internal/dashboard"
)

// printPeers writes a table of the peers that the box on this machine is
// connected with.
func printPeers(ctx context.Context, c Config, w io.Writer) error {
	all, err := askAPI[api.PeerList](ctx, c, http.MethodGet, "peers", c.access.Token, nil)
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

// askAPI asks the API of the box on this machine, with a bearer token if there is
// one.
func askAPI[T any](ctx context.Context, c Config, method, path, token string, body []byte) (answer T, err error) {
	addr := c.Listen
	if c.DashboardListen != "" {
		addr = c.DashboardListen
	}
	resp, err := askBox(ctx, addr, method, "/api/v1/"+path, token, body)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	read := json.NewDecoder(io.LimitReader(resp.Body, maxReadiness))
	if resp.StatusCode != http.StatusOK {
		var refusal api.Problem
		if err := read.Decode(&refusal); err != nil || refusal.Detail == "" {
			return answer, fmt.Errorf("the server at %s is not a millpond: it answered %s", addr, resp.Status)
		}
		return answer, fmt.Errorf("the box at %s: %s", addr, refusal.Detail)
	}
	if err := read.Decode(&answer); err != nil {
		return answer, fmt.Errorf("the server at %s is not a millpond: %w", addr, err)
	}
	return answer, nil
}
