package siteledger

import (
	"net/netip"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// What a report has at most. With all of it, it has some 700 KB; swarm carries 1 MiB.
const (
	maxVersion = 64 // bytes
	maxFaults  = 8
	maxWhat    = 128 // bytes
	maxWhy     = 512
	maxSuites  = 200
	maxURL     = 512
	maxTop     = 100 // packages
	maxPackage = 128
	// maxAccounts is what the count of clients or packages may be: the ledger has 20,000.
	maxAccounts = 1 << 20
	// maxPoints is how many buckets of a step come in one report.
	maxPoints = 512
	// maxServes is the length of an IPv6 address and a port.
	maxServes = len("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")
)

// question asks for a report. The versions are those that the answering box gave last,
// so that it sends again only what has changed.
//
//	message Question {
//	  fixed64 details = 1;   // version of the details that the asking box has
//	  fixed64 names = 2;     // of the names
//	  fixed64 ledger = 3;    // of which it has buckets
//	  uint64 minutes = 4;    // start of the newest one that it has, in Unix seconds
//	  uint64 hours = 5;
//	  uint64 days = 6;
//	  bool no_clients = 7;   // it keeps no hashes of clients
//	  bool no_names = 8;     // it keeps no names of clients
//	  bool series = 9;       // it wants buckets
//	}
type question struct {
	details, names, ledger uint64
	newest                 [steps]int64
	noClients, noNames     bool
	series                 bool
}

const (
	steps = int(ledger.Day) + 1
	// firstStep is the field of a message that has minutes; hours and days follow.
	firstStep = 4
)

func (q question) encode() []byte {
	b := putFixed(putFixed(putFixed(nil, 1, q.details), 2, q.names), 3, q.ledger)
	for i, at := range q.newest {
		b = putFigure(b, firstStep+protoNumber(i), at)
	}
	return putFlag(putFlag(putFlag(b, 7, q.noClients), 8, q.noNames), 9, q.series)
}

func parseQuestion(b []byte) (q question, err error) {
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			return f.fixed(&q.details)
		case 2:
			return f.fixed(&q.names)
		case 3:
			return f.fixed(&q.ledger)
		case 4, 5, 6:
			return f.figure(&q.newest[f.number-firstStep], maxSeconds)
		case 7:
			return f.flag(&q.noClients)
		case 8:
			return f.flag(&q.noNames)
		case 9:
			return f.flag(&q.series)
		}
		return nil
	})
	return q, err
}

// Report is what a box tells of itself.
//
//	message Report {
//	  fixed64 ledger = 1;          // tells its ledger from others
//	  string version = 2;
//	  uint64 began = 3;            // the ledger, in Unix seconds
//	  repeated Point minutes = 4;  // from the one on that the question has
//	  repeated Point hours = 5;
//	  repeated Point days = 6;
//	  bool more = 7;               // there are more of them
//	  Counts counts = 8;
//	  Counts rates = 9;            // per second
//	  uint64 blobs = 10;
//	  uint64 blob_bytes = 11;
//	  uint64 quota_bytes = 12;
//	  uint64 downloads = 13;
//	  uint64 clients = 14;
//	  uint64 packages = 15;
//	  uint64 suites = 16;
//	  repeated Fault faults = 17;
//	  fixed64 details_version = 18;
//	  Details details = 19;        // left out if the asking box has them
//	  fixed64 names_version = 20;
//	  repeated Name names = 21;
//	  string name = 22;            // of the box, by an administrator
//	  string serves = 23;          // address and port at which clients reach it; 0.0.0.0 or :: is for any that it has
//	}
type Report struct {
	Ledger                    uint64
	Version                   string
	Began                     int64 // Unix seconds
	Counts, Rates             ledger.Counts
	Holdings                  Holdings
	Clients, Packages, Suites int64
	Faults                    []api.Fault
	Name                      string
	Serves                    netip.AddrPort // invalid if the box did not say
	DetailsVersion            uint64
	details                   *details // nil: as before
	namesVersion              uint64
	names                     []name
	series                    [steps][]ledger.Point
	more                      bool
}

// single are the figures with a field of their own, from field 10 on.
func (r *Report) single() []*int64 {
	h := &r.Holdings
	return []*int64{&h.Blobs, &h.BlobBytes, &h.QuotaBytes, &h.Downloads, &r.Clients, &r.Packages, &r.Suites}
}

func (r *Report) encode() []byte {
	b := putText(putFixed(nil, 1, r.Ledger), 2, r.Version, maxVersion)
	b = putFigure(b, 3, r.Began)
	for i, points := range r.series {
		for _, p := range points {
			b = putBytes(b, firstStep+protoNumber(i), encodePoint(p))
		}
	}
	b = putFlag(b, 7, r.more)
	b = putBytes(putBytes(b, 8, encodeCounts(r.Counts)), 9, encodeCounts(r.Rates))
	for i, v := range r.single() {
		b = putFigure(b, 10+protoNumber(i), *v)
	}
	for _, f := range r.Faults {
		b = putBytes(b, 17, encodeFault(f))
	}
	b = putFixed(b, 18, r.DetailsVersion)
	if r.details != nil {
		b = putBytes(b, 19, r.details.encode())
	}
	b = putFixed(b, 20, r.namesVersion)
	for _, n := range r.names {
		b = putBytes(b, 21, n.encode())
	}
	b = putText(b, 22, r.Name, maxNameBytes)
	if r.Serves.IsValid() {
		b = putText(b, 23, r.Serves.String(), maxServes)
	}
	return b
}

func parseReport(b []byte) (*Report, error) {
	r := new(Report)
	err := fields(b, r.read)
	if err == nil && r.details != nil {
		err = r.details.check(r)
	}
	return r, err
}

func (r *Report) read(f field) error {
	switch f.number {
	case 1:
		return f.fixed(&r.Ledger)
	case 2:
		return f.text(&r.Version, maxVersion)
	case 3:
		return f.figure(&r.Began, maxSeconds)
	case 4, 5, 6:
		step := ledger.Step(f.number - firstStep)
		return addTo(f, &r.series[step], maxPoints, func(b []byte) (ledger.Point, error) { return parsePoint(b, step, r.series[step]) })
	case 7:
		return f.flag(&r.more)
	case 8:
		return f.message(func(b []byte) (err error) { r.Counts, err = parseCounts(b); return err })
	case 9:
		return f.message(func(b []byte) (err error) { r.Rates, err = parseCounts(b); return err })
	case 10, 11, 12, 13, 16:
		return f.figure(r.single()[f.number-10], maxFigure)
	case 14, 15:
		return f.figure(r.single()[f.number-10], maxAccounts)
	case 17:
		return addTo(f, &r.Faults, maxFaults, parseFault)
	}
	return r.readLists(f)
}

func (r *Report) readLists(f field) error {
	switch f.number {
	case 18:
		return f.fixed(&r.DetailsVersion)
	case 19:
		return f.message(func(b []byte) (err error) { r.details, err = parseDetails(b); return err })
	case 20:
		return f.fixed(&r.namesVersion)
	case 21:
		return addTo(f, &r.names, maxNames, parseName)
	case 22:
		return f.text(&r.Name, maxNameBytes)
	case 23:
		return f.addrPort(&r.Serves)
	}
	return nil
}

// countFields are the figures of Counts in the order of their fields, from 1 on.
func countFields(c *ledger.Counts) []*int64 {
	return []*int64{
		&c.Requests, &c.DeliveredStore, &c.DeliveredPeer, &c.DeliveredMirror, &c.MirrorTaken,
		&c.PeerTaken, &c.PeerGiven, &c.Tunnelled, &c.MirrorRequests, &c.AvoidedRequests,
	}
}

//	message Counts {
//	  uint64 requests = 1;
//	  uint64 delivered_store = 2;
//	  uint64 delivered_peer = 3;
//	  uint64 delivered_mirror = 4;
//	  uint64 mirror_taken = 5;
//	  uint64 peer_taken = 6;
//	  uint64 peer_given = 7;
//	  uint64 tunnelled = 8;
//	  uint64 mirror_requests = 9;
//	  uint64 avoided_requests = 10;
//	}
func encodeCounts(c ledger.Counts) (b []byte) {
	for i, v := range countFields(&c) {
		b = putFigure(b, 1+protoNumber(i), *v)
	}
	return b
}

func parseCounts(b []byte) (c ledger.Counts, err error) {
	all := countFields(&c)
	err = fields(b, func(f field) error {
		if int(f.number) > len(all) {
			return nil
		}
		return f.figure(all[f.number-1], maxFigure)
	})
	return c, err
}

//	message Point {
//	  uint64 start = 1;  // Unix seconds
//	  Counts counts = 2;
//	}
func encodePoint(p ledger.Point) []byte {
	return putBytes(putFigure(nil, 1, p.Start.Unix()), 2, encodeCounts(p.Counts))
}

// parsePoint reads a point that follows those before it.
func parsePoint(b []byte, step ledger.Step, before []ledger.Point) (p ledger.Point, err error) {
	var start int64
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			return f.figure(&start, maxSeconds)
		case 2:
			return f.message(func(b []byte) (err error) { p.Counts, err = parseCounts(b); return err })
		}
		return nil
	})
	p.Start = time.Unix(start, 0).UTC()
	if n := len(before); err == nil && (start%length[step] != 0 || n > 0 && !p.Start.After(before[n-1].Start)) {
		err = malformed("buckets of %d s that are not in order", length[step])
	}
	return p, err
}

//	message Fault {
//	  string what = 1;
//	  string why = 2;
//	  bool fatal = 3;
//	  bool urgent = 4;
//	}
func encodeFault(v api.Fault) []byte {
	b := putText(putText(nil, 1, v.What, maxWhat), 2, v.Why, maxWhy)
	return putFlag(putFlag(b, 3, v.Fatal), 4, v.Urgent)
}

func parseFault(b []byte) (v api.Fault, err error) {
	err = fields(b, func(f field) error {
		switch f.number {
		case 1:
			return f.text(&v.What, maxWhat)
		case 2:
			return f.text(&v.Why, maxWhy)
		case 3:
			return f.flag(&v.Fatal)
		case 4:
			return f.flag(&v.Urgent)
		}
		return nil
	})
	return v, err
}
