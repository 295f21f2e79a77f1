package main

import (
	"bytes"
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
	// maxReadiness is many times the size of an answer with a thousand
	// unreachable mirrors.
	maxReadiness = 1 << 20
)

// healthcheck requests the readiness of the box on this machine, for a
// container's health check. A degraded box is ready.
func healthcheck(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	resp, err := askBox(ctx, c.Listen, http.MethodGet, "/readyz", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var ready api.Readiness
	err = json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&ready)
	switch {
	case err != nil || ready.Status == "":
		return fmt.Errorf("the server at MILLPOND_LISTEN=%s is not a millpond: it answered %s", c.Listen, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the box is %s: %s", ready.Status, fatal(ready.Faults))
	}
	return nil
}

// askBox sends a request to the box that listens on addr. It ignores the
// environment's proxy, which is often the box itself, and dials the listener's
// own address, which works even for ":3142". A token is sent as a bearer token.
func askBox(ctx context.Context, addr, method, path, token string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
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

// fatal joins the faults that keep a box from serving into one line.
func fatal(faults []api.Fault) string {
	var all []string
	for _, f := range faults {
		if f.Fatal {
			all = append(all, f.What+": "+f.Why)
		}
	}
	return strings.Join(all, "; ")
}
