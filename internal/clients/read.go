package clients

import (
	"fmt"
	"net/netip"
	"time"
)

// Client is what is noted of one. Lists have the latest first.
type Client struct {
	Since    time.Time // zero if nothing is
	Suites   []Suite
	Packages []Package
	Failures []Failure
}

// Suite is one that a client updates from.
type Suite struct {
	URL, Ring  string
	Generation string // digest of the Release that it has
	Updated    time.Time
}

// Package is one that a client got.
type Package struct {
	Name, Architecture, Type string
	Version                  string // that it got last, without epoch; "" before it got all of one
	Last                     time.Time
	Requests, Bytes          int64
}

// Failure is why requests were not served.
type Failure struct {
	Status      int
	Cause, URL  string
	First, Last time.Time
	Times       int64
}

// Of returns what is noted of a client.
func (n *Notes) Of(client netip.Addr) (c Client, err error) {
	client = plain(client)
	// Where the disk takes nothing, what it has can be read all the same; Run logs it.
	_ = n.Flush()
	n.mu.Lock()
	if t := n.tallies[client]; t != nil {
		c.Since = at(t.Began)
	}
	n.mu.Unlock()
	if c.Since.IsZero() {
		return c, nil
	}
	for _, kind := range noted {
		rows, err := n.rowsOf(kind, client)
		if err != nil {
			return c, fmt.Errorf("reading the notes about a client: %w", err)
		}
		for _, k := range rows {
			c.add(kind, k)
		}
	}
	return c, nil
}

func (c *Client) add(kind byte, k keyRow) {
	r := k.row
	switch kind {
	case kindSuite:
		name := parts(k.name(), 2)
		c.Suites = append(c.Suites, Suite{URL: name[1], Ring: name[0], Generation: r.Text, Updated: at(r.Last)})
	case kindPackage:
		name := parts(k.name(), 3)
		c.Packages = append(c.Packages, Package{
			Name: name[0], Architecture: name[1], Type: name[2], Version: r.Text, Last: at(r.Last), Requests: r.Times, Bytes: r.Bytes,
		})
	case kindFailure:
		c.Failures = append(c.Failures, Failure{Status: r.Status, Cause: r.Cause, URL: r.Text, First: at(r.First), Last: at(r.Last), Times: r.Times})
	}
}

func at(sec int64) time.Time { return time.Unix(sec, 0).UTC() }
