package siteledger

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"millpond/internal/ledger"
)

type protoNumber = protowire.Number

// Suite is a suite that clients of a box use.
type Suite struct {
	URL     string // of its directory
	State   string // one of SuiteStates
	Checked time.Time
}

// SuiteStates are the states of a suite, the worst one last.
var SuiteStates = []string{"fresh", "unchecked", "unsigned", "stale", "expired"}

// Package is what was counted for a package.
type Package struct {
	Name string
	ledger.Counts
}

// details are what a report has of clients, packages and suites. They are sent when
// they have changed.
//
//	message Details {
//	  repeated Suite suites = 1;
//	  repeated Package top = 2;   // that most was saved with, the first one most
//	  bool clients_told = 3;
//	  bytes clients = 4;          // a Sketch
//	  bytes packages = 5;         // a Sketch
//	}
type details struct {
	suites            []Suite
	top               []Package
	clientsTold       bool
	clients, packages Sketch
}

// without returns the details without hashes of clients.
func (d details) without() details {
	d.clientsTold, d.clients = false, nil
	return d
}

func (d *details) encode() (b []byte) {
	for _, s := range d.suites {
		b = putBytes(b, 1, s.encode())
	}
	for _, p := range d.top {
		b = putBytes(b, 2, putBytes(putText(nil, 1, p.Name, maxPackage), 2, encodeCounts(p.Counts)))
	}
	b = putFlag(b, 3, d.clientsTold)
	return putBytes(putBytes(b, 4, d.clients.append(nil)), 5, d.packages.append(nil))
}

// versioned are details with a number that changes with them, and is never 0.
type versioned struct {
	details
	version uint64
}

func (d details) versioned() versioned { return versioned{d, versionOf(d.encode())} }

func versionOf(b []byte) uint64 {
	sum := sha256.Sum256(b)
	return max(1, binary.BigEndian.Uint64(sum[:]))
}

func parseDetails(b []byte) (*details, error) {
	d := new(details)
	err := fields(b, func(f field) (err error) {
		switch f.number {
		case 1:
			return addTo(f, &d.suites, maxSuites, parseSuite)
		case 2:
			return addTo(f, &d.top, maxTop, parsePackage)
		case 3:
			return f.flag(&d.clientsTold)
		case 4:
			return f.message(func(b []byte) (err error) { d.clients, err = parseSketch(b); return err })
		case 5:
			return f.message(func(b []byte) (err error) { d.packages, err = parseSketch(b); return err })
		}
		return nil
	})
	return d, err
}

// check compares the details with the counts of their report.
func (d *details) check(r *Report) error {
	if int64(len(d.clients)) > r.Clients || int64(len(d.packages)) > r.Packages || len(d.clients) > 0 && !d.clientsTold {
		return malformed("more hashes than clients or packages")
	}
	return nil
}

//	message Suite {
//	  string url = 1;
//	  uint64 state = 2;    // by its place in SuiteStates
//	  uint64 checked = 3;  // Unix seconds
//	}
func (s Suite) encode() []byte {
	b := putFigure(putText(nil, 1, s.URL, maxURL), 2, int64(slices.Index(SuiteStates, s.State)))
	if s.Checked.IsZero() {
		return b
	}
	return putFigure(b, 3, s.Checked.Unix())
}

func parseSuite(b []byte) (s Suite, err error) {
	var state, checked int64
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			return f.text(&s.URL, maxURL)
		case 2:
			return f.figure(&state, int64(len(SuiteStates)-1))
		case 3:
			return f.figure(&checked, maxSeconds)
		}
		return nil
	})
	s.State = SuiteStates[state]
	if checked > 0 {
		s.Checked = time.Unix(checked, 0).UTC()
	}
	return s, err
}

//	message Package {
//	  string name = 1;
//	  Counts counts = 2;
//	}
func parsePackage(b []byte) (p Package, err error) {
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			return f.text(&p.Name, maxPackage)
		case 2:
			return f.message(func(b []byte) (err error) { p.Counts, err = parseCounts(b); return err })
		}
		return nil
	})
	return p, err
}
