package fetch

import (
	"errors"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

// flightKey is what clients share a flight by: a digest and the size that an index
// says it has, -1 for none, or the URL of a file that has no digest. With a login it
// is shared by those with the same one, for the same URL.
type flightKey struct {
	digest digest.Digest
	size   int64
	url    string
	login  mirror.Login
}

// keyOf returns the key of the flight for r.
func keyOf(r Request) flightKey {
	key := flightKey{login: r.Login}
	if r.Kind == catalog.Content {
		key.digest, key.size = r.Digest, r.Size
	}
	if key.digest.IsZero() || key.login != "" {
		key.url = r.Location.String()
	}
	for _, d := range r.OneOf { // shared by those alone who expect the same
		key.url += " " + d.String()
	}
	return key
}

// maxLogins is how many flights of one file keep it, each for a login of its
// own. Where every machine has its own, a wave of them would else have the disk
// take as many copies, and give up what is held for them.
const maxLogins = 8

// errManyLogins says that a flight is past them.
var errManyLogins = errors.New("the file is being downloaded for many logins")

// crowded reports whether so many flights of key's file have other logins that
// one more is not to keep it. f.mu is held.
func (f *Fetcher) crowded(key flightKey) bool {
	if key.login == "" {
		return false
	}
	n := 0
	for other := range f.flights {
		if other.login != "" && other.url == key.url && other.digest == key.digest {
			n++
		}
	}
	return n >= maxLogins
}
