package api

import "time"

// Ring is a group of clients that get generations of suites later than others, or as an
// administrator says.
type Ring struct {
	Name     string   `json:"name"`
	After    string   `json:"after" doc:"the ring whose generations it gets; empty: what is in force"`
	Delay    int64    `json:"delay" doc:"how long that must have had them, in seconds"`
	Security bool     `json:"security" doc:"suites whose name says security have no delay"`
	Clients  []string `json:"clients" doc:"ranges of clients that are served by it whatever URL they ask for"`
	Setting  bool     `json:"setting" doc:"it is one of MILLPOND_RINGS, and cannot be deleted here"`
	Suites   int      `json:"suites" doc:"that its clients have used"`
	Held     int      `json:"held" doc:"of these"`
	Bytes    int64    `json:"bytes" doc:"of packages that it holds, since its clients used them"`
	Share    int64    `json:"share" doc:"how many bytes it may hold"`
	Full     bool     `json:"full" doc:"its share is used up"`
}

// RingList is what GET /api/v1/rings returns.
type RingList struct {
	Rings []Ring `json:"rings" doc:"each after the one that it comes after"`
}

// RingRequest is the body of POST /api/v1/rings.
type RingRequest struct {
	Name     string   `json:"name" doc:"up to 32 lower-case letters, digits and hyphens"`
	After    string   `json:"after,omitempty" doc:"a ring; empty: what is in force"`
	Delay    string   `json:"delay,omitempty" doc:"such as 3d or 12h; empty for none"`
	Security bool     `json:"security,omitempty" doc:"suites whose name says security have no delay"`
	Clients  []string `json:"clients,omitempty" maxItems:"64" doc:"addresses or ranges"`
}

// RingGeneration is one Release of a suite.
type RingGeneration struct {
	Digest     string     `json:"digest" doc:"of InRelease or Release"`
	Date       time.Time  `json:"date"`
	ValidUntil *time.Time `json:"valid_until" doc:"null: no end"`
}

// RingSuite is what a ring has of a suite.
type RingSuite struct {
	Suite    string          `json:"suite" doc:"URL of its directory"`
	Name     string          `json:"name" doc:"as in sources.list"`
	Present  RingGeneration  `json:"present" doc:"what its clients get"`
	Since    time.Time       `json:"since" doc:"when the ring got it"`
	Held     bool            `json:"held" doc:"it gets no other one by itself"`
	Security bool            `json:"security" doc:"its name says security"`
	Next     *RingGeneration `json:"next,omitempty" doc:"what it gets next by itself; left out if there is nothing yet, or it is held"`
	Due      *time.Time      `json:"due" doc:"when it gets that; null without next"`
	Latest   *RingGeneration `json:"latest,omitempty" doc:"what a promotion would bring; left out if nothing"`
	Former   *RingGeneration `json:"former,omitempty" doc:"what a rollback leads to; left out if nothing"`
	Expiry   string          `json:"expiry" doc:"why apt refuses, or is going to refuse, the Release that it has, and what to do; empty if it does not"`
}

// RingAction is the body of promote and rollback.
type RingAction struct {
	Suite string `json:"suite,omitempty" doc:"URL of its directory; empty for all that the ring has"`
}

// RingHold is the body of hold.
type RingHold struct {
	Suite string `json:"suite,omitempty" doc:"URL of its directory; empty for all that the ring has"`
	Hold  bool   `json:"hold" doc:"false ends it"`
}

// RingChanges is what a promotion of a suite would bring.
type RingChanges struct {
	From     RingGeneration `json:"from"`
	To       RingGeneration `json:"to"`
	Added    int            `json:"added"`
	Removed  int            `json:"removed"`
	Replaced int            `json:"replaced"`
	Security int            `json:"security" doc:"of those added and replaced: from a security suite"`
	Unread   bool           `json:"unread" doc:"the indices of one of the two are not known, so that the rest says nothing"`
	Total    int            `json:"total" doc:"packages that can be listed, 5,000 at most"`
	Offset   int            `json:"offset" doc:"rows left out before the first one"`
	Items    []RingChange   `json:"items"`
}

// RingChange is one package of an architecture.
type RingChange struct {
	Package      string `json:"package"`
	Architecture string `json:"architecture"`
	Old          string `json:"old" doc:"version without epoch; empty if it is new"`
	New          string `json:"new" doc:"version without epoch; empty if it goes"`
	Security     bool   `json:"security" doc:"a security suite has the new version"`
}

// Generation is a Release of a suite that the box has kept.
type Generation struct {
	RingGeneration
	Learned    time.Time  `json:"learned" doc:"when the box got it"`
	Superseded *time.Time `json:"superseded" doc:"when it ceased to be in force here; null for the one in force"`
	Signed     bool       `json:"signed"`
	Login      bool       `json:"login" doc:"it came with a login: there is no snapshot of it, and no ring has it"`
	Snapshot   string     `json:"snapshot" doc:"a time for /snapshot/ at which this one is served; empty if it came with a login"`
}
