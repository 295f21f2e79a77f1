package fetch

import (
	"slices"

	"millpond/internal/catalog"
)

// maxPlaces bounds the places of one flight, and maxPlacesOfHost those of one host
// among them: anybody can request any digest under any name.
const (
	maxPlaces       = 16
	maxPlacesOfHost = 2
)

// place is where a request for a flight's file says that it is.
type place struct {
	entry   catalog.Entry
	via     []string         // of the request
	vouched bool             // a Release signed by a known key lists the file there
	dated   catalog.Location // where a dated archive has it; zero if the request names none
}

// placeOf is where r says that its file is.
func (f *Fetcher) placeOf(r Request) place {
	return place{entry: r.Entry, via: r.Via, vouched: f.catalog.SignedAt(r.Digest, r.Location), dated: r.Dated}
}

// addPlace notes where a request that joined the flight says that the file is. The
// flight asks there too.
func (fl *flight) addPlace(p place) {
	if fl.key.digest.IsZero() {
		return // it is for one URL
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if addPlace(&fl.places, p) {
		fl.widen()
	}
}

// widen tells the flight that there is another source to ask now.
func (fl *flight) widen() {
	select {
	case fl.widened <- struct{}{}:
	default:
	}
}

// addPlace adds p to the places of a flight, the oldest first, unless it is among
// them or its host has its share. Where there is no room the oldest gives way, one
// that nothing vouches for before one that a signed Release lists.
func addPlace(all *[]place, p place) bool {
	ofHost := 0
	for i, o := range *all {
		if o.entry.Location == p.entry.Location {
			if o.dated == (catalog.Location{}) && p.dated != o.dated {
				(*all)[i].dated = p.dated
				return true
			}
			return false
		}
		if o.entry.Location.Host == p.entry.Location.Host && o.entry.Location.Scheme == p.entry.Location.Scheme {
			ofHost++
		}
	}
	if ofHost >= maxPlacesOfHost {
		return false
	}
	if len(*all) >= maxPlaces {
		i := slices.IndexFunc(*all, func(o place) bool { return !o.vouched })
		if i < 0 && !p.vouched {
			return false
		}
		*all = slices.Delete(*all, max(i, 0), max(i, 0)+1)
	}
	*all = append(*all, p)
	return true
}

// inOrder returns the places in the order in which to ask there: where the flight
// began, then the newest first, so that one that was added just now waits for none
// of those before it.
func (fl *flight) inOrder() []place {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	all := slices.Clone(fl.places)
	if len(all) > 1 {
		slices.Reverse(all[1:])
	}
	return all
}

// mirrors lists the mirrors that may have the flight's content: first those where
// a signed Release lists it, then those that only requests name, then those that
// turned out slow lately.
func (fl *flight) mirrors() []mirrorSource {
	var vouched, named, slow []mirrorSource
	seen := make(map[string]bool)
	for _, p := range fl.inOrder() {
		for _, m := range fl.f.mirrorsFor(Request{Entry: p.entry, Login: fl.key.login}) {
			if seen[m.String()] {
				continue
			}
			seen[m.String()] = true
			m.via = p.via
			m.request.Revalidate, m.request.Reload = isReplaced(p.entry, m.Location), fl.reload.Load()
			switch elsewhere := m.Host != p.entry.Location.Host; { // the catalog names that one
			case fl.f.paces.slow(m.Record()):
				slow = append(slow, m)
			case p.vouched || elsewhere:
				vouched = append(vouched, m)
			default:
				named = append(named, m)
			}
		}
	}
	return withFailover(slices.Concat(vouched, named, slow))
}
