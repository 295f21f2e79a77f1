package rings

import (
	"encoding/json"
	"fmt"
	"strings"

	"millpond/internal/catalog"
)

// load reads rings and lanes, and deletes what is not to be read any more.
func (r *Rings) load() error {
	var gone []string
	err := r.table.Scan([]byte(ringPrefix), nil, func(key, value []byte) bool {
		var d Definition
		name := strings.TrimPrefix(string(key), ringPrefix)
		if json.Unmarshal(value, &d) != nil || d.Name != name || r.rings[name] != nil {
			gone = append(gone, string(key)) // the setting has one of that name by now
			return true
		}
		r.rings[name] = newRing(d, false)
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the rings: %w", err)
	}
	for fault := r.definitions().Check(); fault != nil; fault = r.definitions().Check() {
		name := r.anyMade()
		if name == "" {
			return fault // the setting alone; it was checked before
		}
		r.log.Warn("ring forgotten that was made through the API, since it does not go with MILLPOND_RINGS", "ring", name, "err", fault)
		delete(r.rings, name)
		gone = append(gone, ringPrefix+name)
	}
	err = r.table.Scan([]byte(lanePrefix), nil, func(key, value []byte) bool {
		name, url, _ := strings.Cut(strings.TrimPrefix(string(key), lanePrefix), "/")
		suite, err := catalog.ParseURL(url)
		l := new(lane)
		if err != nil || json.Unmarshal(value, l) != nil || len(l.Steps) == 0 || r.rings[name] == nil {
			gone = append(gone, string(key))
			return true
		}
		r.rings[name].lanes[suite] = l
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the state of rings: %w", err)
	}
	for _, key := range gone {
		if err := r.table.Delete([]byte(key)); err != nil {
			return fmt.Errorf("removing the state of a ring that is no more: %w", err)
		}
	}
	return nil
}

// definitions are those of all rings. The caller holds mu, or is Open.
func (r *Rings) definitions() (all Definitions) {
	for _, name := range r.names() {
		if name != "" {
			all = append(all, r.rings[name].Definition)
		}
	}
	return all
}

// anyMade returns a ring that was made through the API, the last one first.
func (r *Rings) anyMade() (last string) {
	for _, name := range r.names() {
		if !r.rings[name].setting {
			last = name
		}
	}
	return last
}
