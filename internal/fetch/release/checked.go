package release

import (
	"fmt"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/kv"
)

// Checked returns when the suite in dir was last confirmed with the mirror, by this box
// or by another one of its site, zero if it never was, and why it could not be since, ""
// if it could. Of one that the mirror does not have any more it says when it said so.
func (c *Cache) Checked(dir catalog.Location) (at time.Time, stale string) {
	v, err := c.latest(dir)
	if err != nil {
		return time.Time{}, err.Error()
	}
	if v.Missing != 0 && v.Unchecked == "" {
		v.Unchecked = fmt.Sprintf("the mirror answers %d", v.Missing)
	}
	return v.Checked, v.Unchecked
}

// CheckedBy returns the peer ID of the box whose mirror said at Checked that the suite in
// dir has not changed; "" if this box's did.
func (c *Cache) CheckedBy(dir catalog.Location) string {
	v, err := c.latest(dir)
	if err != nil {
		return ""
	}
	return v.Vouched
}

// latest returns the record of the form of a suite that was confirmed last, of those of
// which a Release is held if there is one.
func (c *Cache) latest(dir catalog.Location) (v record, err error) {
	for _, private := range []bool{false, true} {
		s, err := kv.GetJSON[suite](c.names, key(dir, private))
		if err != nil {
			return record{}, err
		}
		for _, o := range []record{s.InRelease, s.Release} {
			held, had := !o.Digest.IsZero(), !v.Digest.IsZero()
			if held && !had || held == had && o.Checked.After(v.Checked) {
				v = o
			}
		}
	}
	return v, nil
}
