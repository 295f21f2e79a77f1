package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	resp, err := boxAddr{listen: c.Listen[0], name: "LISTEN"}.ask(ctx, http.MethodGet, "/readyz", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var ready api.Readiness
	err = json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&ready)
	switch {
	case err != nil || ready.Status == "":
		return fmt.Errorf("the server at MILLPOND_LISTEN=%s is not a millpond: it answered %s", c.Listen[0], resp.Status)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the box is %s: %s", ready.Status, fatal(ready.Faults))
	}
	return nil
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
