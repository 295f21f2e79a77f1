package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"millpond/internal/api"
)

const (
	// healthcheckTimeout is below the 3 s that container engines are commonly
	// told to wait.
	healthcheckTimeout = 2 * time.Second
	// maxReadiness is many times what a thousand mirrors that are away take.
	maxReadiness = 1 << 20
)

// healthcheck asks the box on this machine whether it is ready, as a
// container's health check does. A box that is merely degraded is.
func healthcheck(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	resp, err := askBox(ctx, c.Listen, "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var ready api.Readiness
	err = json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&ready)
	switch {
	case err != nil || ready.Status == "":
		return fmt.Errorf("what answers is no millpond (MILLPOND_LISTEN=%s): %s", c.Listen, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the box is %s: %s", ready.Status, fatal(ready.Faults))
	}
	return nil
}

// askBox sends a request to the box that listens on addr. No proxy from the
// environment: the box itself is often set as one. And no look-up: to dial a
// listener's own address, even ":3142", gets to it.
func askBox(ctx context.Context, addr, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no box answers (MILLPOND_LISTEN=%s): %w", addr, errors.Unwrap(err))
	}
	return resp, nil
}

// fatal words the faults that keep a box from serving, in one line.
func fatal(faults []api.Fault) string {
	var all []string
	for _, f := range faults {
		if f.Fatal {
			all = append(all, f.What+": "+f.Why)
		}
	}
	return strings.Join(all, "; ")
}
