// Package api holds the JSON types of the box's HTTP API, /api/v1.
//
// It is the one place where their names and fields are written down: package
// dashboard answers with them and makes the OpenAPI document of them, from
// which the page's TypeScript types are generated (`make api`); the commands
// `millpond peers` and `millpond healthcheck` and the end-to-end tests decode
// them. The doc and enum tags are for that document.
//
// Sizes are in bytes, times in UTC. A list is never null. What may be left out
// of an answer has omitempty or omitzero. A time that may be unknown is a pointer, and
// null then, or has omitzero; no answer has the year 1 in it.
package api

import (
	"strings"
	"time"
)

// Page is a part of a list.
type Page[T any] struct {
	Total  int `json:"total" doc:"rows that match"`
	Offset int `json:"offset" doc:"rows left out before the first one"`
	Items  []T `json:"items"`
}

// Problem is an answer other than 2xx, as RFC 9457 has it. It is sent as
// application/problem+json.
type Problem struct {
	Title  string   `json:"title" doc:"name of the status"`
	Status int      `json:"status" doc:"HTTP status code"`
	Detail string   `json:"detail" doc:"why, in plain words"`
	Errors []Detail `json:"errors,omitempty" doc:"what is wrong with each part of the request"`
}

// Detail is what is wrong with one part of a request.
type Detail struct {
	Location string `json:"location" doc:"path of the part, such as query.limit or body.suite"`
	Message  string `json:"message"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status code.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of a Problem in place of plain JSON's.
func (p *Problem) ContentType(plain string) string {
	return strings.Replace(plain, "application/json", "application/problem+json", 1)
}

// Fault is one reason why the box is degraded.
type Fault struct {
	What  string `json:"what" doc:"the part: store, mirror deb.example.org"`
	Why   string `json:"why" doc:"in plain words"`
	Fatal bool   `json:"fatal" doc:"the box cannot serve, and traffic should go elsewhere"`
	// Urgent is for what somebody has to mend before the box is of use again.
	Urgent bool `json:"urgent" doc:"the box serves, but saves nothing: files are not being kept"`
}

// Health is what GET /healthz returns.
type Health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

// Readiness is what GET /readyz returns, with 503 if a fault is fatal, else
// 200.
type Readiness struct {
	Status string  `json:"status" enum:"ok,degraded,unavailable"`
	Faults []Fault `json:"faults"`
}

// Drain is how far the box is with being taken out.
type Drain struct {
	Since     time.Time `json:"since,omitzero" doc:"when it began; left out if it has not"`
	Downloads int64     `json:"downloads" doc:"answers to clients, and tunnels, under way"`
}

// Setting is one variable as the box runs with it.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value" doc:"in force; never a secret"`
	Default string `json:"default"`
	Takes   string `json:"takes" doc:"what values it may have"`
	Help    string `json:"help"`
	Set     bool   `json:"set" doc:"by the environment"`
}

// Settings is what GET /api/v1/settings returns.
type Settings struct {
	Admin      bool      `json:"admin" doc:"whether admin actions are on"`
	ClientPort string    `json:"client_port" doc:"where apt comes, if not where the page is read"`
	Privacy    Privacy   `json:"privacy"`
	Settings   []Setting `json:"settings"`
}

// Privacy is what the box does not keep about clients (MILLPOND_PRIVACY).
type Privacy struct {
	NoClientNames       bool `json:"no_client_names" doc:"no names of clients' addresses"`
	NoPackagesPerClient bool `json:"no_packages_per_client" doc:"not which client requested which package"`
	NoClients           bool `json:"no_clients" doc:"no figures by client; implies the others"`
	Days                int  `json:"days" doc:"how long what it keeps about a client is kept; 0 for good"`
}

// ClientAddress names a client in a request. Generators of clients have a Client of their
// own.
type ClientAddress struct {
	Address string `json:"address" maxLength:"64" doc:"IP address"`
}

// Erased is what an erasure found.
type Erased struct {
	Known bool `json:"known" doc:"whether the box had anything about the client"`
}

// Tick is what the stream of GET /api/v1/events sends every second, as the
// data of an event named tick.
type Tick struct {
	Time      time.Time  `json:"time"`
	Status    string     `json:"status" enum:"ok,degraded,unavailable"`
	Faults    []Fault    `json:"faults"`
	Summary   Summary    `json:"summary"`
	Transfers []Transfer `json:"transfers"`
	LastEvent int64      `json:"last_event" doc:"ID of the latest event"`
}
