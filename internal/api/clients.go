package api

import "time"

// ClientAccount is what was counted for one client, and when it last updated its lists.
type ClientAccount struct {
	Account
	LastUpdate *time.Time `json:"last_update" doc:"when it last got or confirmed a suite's Release; null if it has not since this is noted, or MILLPOND_PRIVACY keeps it from being noted"`
}

// ClientDetail is what GET /api/v1/clients/{address} returns.
type ClientDetail struct {
	ClientAccount
	Since        *time.Time      `json:"since" doc:"when the box began to note what follows; null if it notes none of it"`
	Suites       []ClientSuite   `json:"suites" doc:"that it updated, the latest first; at most 32"`
	Failures     []ClientFailure `json:"failures" doc:"requests of it that were not served, the latest first; at most 16 different ones"`
	Pending      []ClientUpdate  `json:"pending" doc:"packages of which an index in force lists a newer version than it last got here, by name; at most 200"`
	PendingTotal int             `json:"pending_total"`
	Packages     []ClientPackage `json:"packages" doc:"that it got most bytes of; at most 20"`
	PackageTotal int             `json:"package_total" doc:"packages that are remembered of it, 2,048 at most"`
}

// ClientSuite is a suite that a client updates from.
type ClientSuite struct {
	URL        string     `json:"url" doc:"of its directory"`
	Name       string     `json:"name" doc:"as in sources.list"`
	Ring       string     `json:"ring" doc:"through which it got it; empty for none"`
	Updated    time.Time  `json:"updated" doc:"when it last got or confirmed its Release"`
	Generation string     `json:"generation" doc:"digest of the Release that it has"`
	Date       *time.Time `json:"date" doc:"of that Release; null if the box no longer knows it"`
	Behind     bool       `json:"behind" doc:"another generation is in force here, or in its ring"`
	InForce    *time.Time `json:"in_force" doc:"date of the Release that it would get now; null if none is known"`
}

// ClientFailure is a reason for which requests of a client were not served.
type ClientFailure struct {
	Status int       `json:"status" doc:"HTTP status that it was answered with"`
	Cause  string    `json:"cause" doc:"in plain words; empty if MILLPOND_PRIVACY keeps it from being noted"`
	URL    string    `json:"url" doc:"the last one; empty likewise"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Times  int64     `json:"times"`
}

// ClientPackage is a package that a client got.
type ClientPackage struct {
	Name         string    `json:"name"`
	Architecture string    `json:"architecture"`
	Version      string    `json:"version" doc:"that it got last, without epoch"`
	Last         time.Time `json:"last"`
	Requests     int64     `json:"requests"`
	Bytes        int64     `json:"bytes"`
}

// ClientUpdate is a package that an index in force lists in a newer version.
type ClientUpdate struct {
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	Has          string `json:"has" doc:"version that it got last here, without epoch"`
	Version      string `json:"version" doc:"newest one in the suites that it updates from, without epoch"`
	Suite        string `json:"suite" doc:"URL of the directory of the suite that lists it"`
}
