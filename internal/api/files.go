package api

import "time"

// Suite is a suite that clients use.
type Suite struct {
	URL         string     `json:"url" doc:"of its directory"`
	Name        string     `json:"name" doc:"as in sources.list"`
	Origin      string     `json:"origin"`
	Codename    string     `json:"codename"`
	Also        []string   `json:"also" doc:"URLs of the same directory by another scheme, which this row stands for, too; it shows the one that is worst off"`
	State       string     `json:"state" enum:"expired,stale,unsigned,unchecked,fresh" doc:"the first of these that holds; only fresh means that all is well"`
	Reason      string     `json:"reason" doc:"for the state"`
	Signed      bool       `json:"signed"`
	Signer      string     `json:"signer" doc:"fingerprint of the key that signed its Release; empty if none of the keyring did"`
	UnsignedWhy string     `json:"unsigned_why"`
	Shared      string     `json:"shared" enum:"all,members,nobody" doc:"which other boxes may have what it lists"`
	SharedWhy   string     `json:"shared_why"`
	MissingKeys []string   `json:"missing_keys" doc:"fingerprints or IDs of the keys that signed its Release, if none is in the keyring"`
	KeysAt      []string   `json:"keys_at" doc:"URIs of key servers and policies in the signatures of these keys; nothing proves them"`
	SignedBy    []string   `json:"signed_by" doc:"fingerprints in the Release's Signed-By: as long as it is valid, the next one counts as signed only with one of these keys"`
	Date        *time.Time `json:"date" doc:"of the Release file; null if it has none"`
	ValidUntil  *time.Time `json:"valid_until" doc:"null: no end"`
	Checked     *time.Time `json:"checked" doc:"with the mirror, last; null if not known"`
	CheckedBy   string     `json:"checked_by,omitempty" doc:"peer ID of the box of this site whose mirror said so; left out if this box's did"`
	Learned     time.Time  `json:"learned" doc:"when this generation was first seen"`
	Rejected    *Rejected  `json:"rejected,omitempty" doc:"what the mirror had when last asked and does not replace this Release; left out if there is nothing"`
	Indices     []Index    `json:"indices" doc:"that the box has read; at most 100"`
}

// FollowedSuite is a suite that the box keeps up to date without a client.
type FollowedSuite struct {
	URL           string     `json:"url" doc:"of its directory"`
	Name          string     `json:"name" doc:"for people: the suite, or the last directory of a flat repository"`
	Archive       string     `json:"archive" doc:"URL of the archive, as in sources.list"`
	Suite         string     `json:"suite" doc:"as in sources.list: of a flat repository, which has no components, ./ or a directory that ends in /"`
	Components    []string   `json:"components" doc:"that the setting names; empty if clients alone use it, or it is flat"`
	Architectures []string   `json:"architectures" doc:"likewise; source for source packages"`
	Why           string     `json:"why" enum:"setting,clients" doc:"MILLPOND_FOLLOW has it, or clients use it"`
	Depth         string     `json:"depth" enum:"indices,used,selected,all" doc:"what is fetched before clients ask: indices alone, new versions of the packages that they use, those that the setting selects, or all"`
	Used          *time.Time `json:"used" doc:"by a client, last; null: by none so far. A suite that the setting does not have is followed for 14 days from then on"`
	Checked       *time.Time `json:"checked" doc:"with the mirror, last; null if not known"`
	Next          time.Time  `json:"next" doc:"when the mirror is asked again"`
	Date          *time.Time `json:"date" doc:"of the Release in force; null if there is none yet"`
	IndicesHeld   int        `json:"indices_held" doc:"of those that clients use or the setting names"`
	IndicesTotal  int        `json:"indices_total"`
	Fault         string     `json:"fault" doc:"what went wrong last; empty if nothing did"`
}

// Rejected is a Release that a mirror sent: older than the one in force, of another
// suite, or without a good signature.
type Rejected struct {
	Digest string     `json:"digest" doc:"of InRelease or Release"`
	Date   *time.Time `json:"date" doc:"its own; null if it has none"`
	Mirror string     `json:"mirror" doc:"URL of the mirror that sent it, if the archive has several; else empty"`
	Reason string     `json:"reason"`
	First  time.Time  `json:"first" doc:"when the mirror first sent it"`
	Last   time.Time  `json:"last" doc:"when it last did"`
}

// AcceptRequest is the body of POST /api/v1/suites/accept.
type AcceptRequest struct {
	Suite  string `json:"suite" doc:"URL of its directory, as in suites"`
	Digest string `json:"digest" doc:"of the rejected Release, as in suites"`
}

// Key is an archive key: Release files that it signed count as signed.
type Key struct {
	Fingerprint string     `json:"fingerprint"`
	Users       []string   `json:"users" doc:"its user IDs, which name the archive or its owner; at most 16"`
	Files       []string   `json:"files" doc:"of the keyring that have it; at most 16"`
	Expires     *time.Time `json:"expires" doc:"null: never"`
	Revoked     bool       `json:"revoked"`
	Suites      []string   `json:"suites" doc:"URLs of the suites whose Release it signed; at most 100"`
}

// Index is a list of files that the box has read.
type Index struct {
	Path  string `json:"path" doc:"relative to the suite's directory"`
	Files int64  `json:"files"`
}

// Slice is what GET /api/v1/slice returns: the part of the archives that is
// held, as it was when last counted. A file that several archives list counts
// for one of them.
type Slice struct {
	Surveyed *time.Time `json:"surveyed" doc:"null before the first count"`
	Running  bool       `json:"running" doc:"a new count is running; ask again"`
	Holdings []Holding  `json:"holdings" doc:"the largest first"`
}

// Holding is how much is held of one architecture of one component.
type Holding struct {
	Group
	Files  int64     `json:"files"`
	Bytes  int64     `json:"bytes"`
	Newest time.Time `json:"newest" doc:"by when the mirror last changed the file"`
	Oldest time.Time `json:"oldest"`
}

// Group is a part of an archive. Names that are not known are empty.
type Group struct {
	Archive      string `json:"archive"`
	Suite        string `json:"suite" doc:"of indices only: suites share packages"`
	Component    string `json:"component"`
	Architecture string `json:"architecture" doc:"source for sources, index for indices"`
}

// Blob is a file that is held.
type Blob struct {
	Digest   string    `json:"digest"`
	Name     string    `json:"name" doc:"of the file; empty if it is not known"`
	Package  string    `json:"package" doc:"that the file is of, by its name; empty if it is of none"`
	Size     int64     `json:"size"`
	From     []Source  `json:"from" doc:"where its bytes came from, as far as that is known; at most 8"`
	URL      string    `json:"url" doc:"one place that lists it; empty if none is known"`
	Suite    string    `json:"suite" doc:"that lists it"`
	Signed   bool      `json:"signed"`
	Pinned   bool      `json:"pinned"`
	Modified time.Time `json:"modified"`
	Used     time.Time `json:"used" doc:"last requested"`
}

// Source is a mirror or peer that bytes of a file came from.
type Source struct {
	Origin string `json:"origin" enum:"mirror,peer"`
	Name   string `json:"name" doc:"host or peer ID"`
}

// Found is what GET /api/v1/blobs returns: matches among a stretch of the
// names, and where to go on.
type Found struct {
	Items   []Blob `json:"items"`
	Next    string `json:"next" doc:"value of after for the next stretch; empty at the end"`
	Scanned int    `json:"scanned" doc:"names that were looked at"`
}

// Transfer is a download under way.
type Transfer struct {
	Digest  string    `json:"digest" doc:"empty of a file without one"`
	URL     string    `json:"url"`
	Size    int64     `json:"size" doc:"-1 if not known"`
	Have    int64     `json:"have" doc:"bytes that are there"`
	Started time.Time `json:"started"`
	Clients int       `json:"clients" doc:"that wait for it"`
	Spans   []Span    `json:"spans"`
}

// Span is bytes of one origin.
type Span struct {
	From   int64  `json:"from"`
	To     int64  `json:"to" doc:"exclusive"`
	Origin string `json:"origin" enum:"store,peer,mirror"`
}

// TransferList is what GET /api/v1/transfers returns.
type TransferList struct {
	Transfers []Transfer `json:"transfers" doc:"the oldest first"`
}
