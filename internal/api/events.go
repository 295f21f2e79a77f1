package api

import "time"

// Event is something that failed or was refused, what became of a ring, or what an
// administrator did. When it happens again, its row counts it.
type Event struct {
	ID      int64     `json:"id" doc:"a later event has a greater one"`
	Kind    string    `json:"kind" enum:"fault,refusal,mirror,ring,audit" doc:"fault: of the box, or in serving a client; refusal: by a setting or a rule; mirror: what a mirror answered in place of a file; ring: what became of one; audit: an admin action"`
	Level   string    `json:"level" enum:"info,warn,error"`
	First   time.Time `json:"first" doc:"when it happened first"`
	Time    time.Time `json:"time" doc:"when it happened last"`
	Times   int64     `json:"times"`
	What    string    `json:"what" doc:"the headline: what failed, and for whom or with what"`
	Cause   string    `json:"cause" doc:"to stand below it; empty if there is none"`
	Setting string    `json:"setting" doc:"the setting that would change it, such as MILLPOND_TUNNELS=true"`
	Client  string    `json:"client" doc:"the last one; empty if there is none, or it is not kept"`
	URL     string    `json:"url" doc:"the last one"`
	Host    string    `json:"host" doc:"the mirror or archive that it is about; empty if there is none"`
	Suite   string    `json:"suite" doc:"URL of the suite that it is about, as far as the event names one or has a URL below dists/"`
	Ring    string    `json:"ring,omitempty" doc:"that it is about"`
	Status  int       `json:"status,omitempty" doc:"HTTP status that a client got"`

	Clients []EventClient `json:"clients" doc:"to whom it happened, the latest first; at most 8"`
}

// EventClient is a client to whom an event happened.
type EventClient struct {
	Address   string    `json:"address"`
	Hostname  string    `json:"hostname,omitempty" doc:"left out while it is not known"`
	GivenName string    `json:"given_name,omitempty" doc:"by an administrator; left out if there is none"`
	URL       string    `json:"url" doc:"that it asked for last; empty if it is not known or not kept"`
	Time      time.Time `json:"time" doc:"when it happened to this client last"`
}

// EventList is what GET /api/v1/events returns.
type EventList struct {
	Events []Event `json:"events" doc:"those that match, the latest first"`
	Next   int64   `json:"next" doc:"value of before for the following ones; 0 at the end"`
}

// Overview is what GET /api/v1/overview returns: what the first screen shows beside the
// Summary. It may be up to two seconds old.
type Overview struct {
	Phase    string   `json:"phase" enum:"empty,filling,saving" doc:"empty: nothing was served or fetched yet; filling: mirrors sent at least as much as clients got, as the first copy costs and savings begin with the second client; saving: clients got more than mirrors sent"`
	Clients  Reach    `json:"clients"`
	Disk     Disk     `json:"disk"`
	LastHour Failures `json:"last_hour"`
}

// Reach is how many clients use the box. Addresses beyond the ledger's bound, and all
// with MILLPOND_PRIVACY=no-clients, are not counted.
type Reach struct {
	Ever int `json:"ever" doc:"clients that the ledger knows"`
	Day  int `json:"day" doc:"of those, with a request within 24 h"`
}

// Disk is the room for the cache.
type Disk struct {
	Used      int64 `json:"used" doc:"bytes of the data directory: files held and unfinished, and the database"`
	Limit     int64 `json:"limit" doc:"as MILLPOND_CACHE_SIZE says"`
	Effective int64 `json:"effective" doc:"how far the cache can grow: the limit, or less if the disk has not that much room"`
	Free      int64 `json:"free" doc:"of the file system; -1 if that cannot be read"`
	Total     int64 `json:"total" doc:"of the file system; -1 if that cannot be read"`
}

// Failures is what went wrong for clients within an hour.
type Failures struct {
	Since    time.Time `json:"since" doc:"an hour ago, or when the box started"`
	Requests int64     `json:"requests" doc:"of clients, those refused or failed included"`
	Failed   int64     `json:"failed" doc:"requests that the box could not answer, or cut short"`
	Refused  int64     `json:"refused" doc:"by a setting or a rule of the box"`
	Missing  int64     `json:"missing" doc:"that the mirror refused, mostly as it has no such file"`
	Unkept   int64     `json:"unkept" doc:"files served without keeping them, for lack of room or a fault of the disk"`
}
