package main

import (
	"errors"
	"fmt"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/dashboard"
)

// tokenMark is before the token among the entries of MILLPOND_DASHBOARD_ACCESS.
const tokenMark = "token:"

// minToken is what no machine guesses, if the token is random: 12 letters and
// digits are 71 bits.
const minToken = 12

// parseAccess reads names, ranges and a token. An error has no entry in it: it may
// be a token that lacks its mark.
func parseAccess(entries []string) (dashboard.Access, error) {
	var a dashboard.Access
	for i, entry := range entries {
		if err := addAccess(&a, entry); err != nil {
			return a, fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return a, nil
}

func addAccess(a *dashboard.Access, entry string) error {
	if token, ok := strings.CutPrefix(entry, tokenMark); ok {
		switch {
		case a.Token != "":
			return errors.New("a second token")
		case len(token) < minToken:
			return fmt.Errorf("a token of less than %d characters", minToken)
		}
		a.Token = token
		return nil
	}
	if p, err := parsePrefix(entry); err == nil {
		a.Ranges = append(a.Ranges, p)
		return nil
	} else if strings.Contains(entry, "/") {
		return errors.New("neither a name nor a range such as 10.0.0.0/8")
	}
	name := strings.ToLower(strings.TrimSuffix(entry, "."))
	domain := strings.TrimPrefix(name, "*.")
	l, err := catalog.ParseLocation("http", domain, "/dists")
	switch {
	case err != nil || l.Host != domain || strings.ContainsAny(domain, ":*"):
		return errors.New("not a name: without scheme, port and path")
	case !strings.Contains(domain, "."):
		return errors.New("a name without a dot, which is always allowed; a token has " + tokenMark + " before it")
	}
	a.Names = append(a.Names, name)
	return nil
}
