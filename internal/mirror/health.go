package mirror

import "time"

// MirrorHealth is what is known of a mirror of an archive that has several.
type MirrorHealth struct {
	Archive, URL string        // directories; the archive's as clients name it
	Down         string        // why it is asked last for now, "" if it is not
	FirstByte    time.Duration // usual time from a request to the answer's header; 0 if not measured
	Rate         int64         // usual bytes a second of a body; 0 if not measured
	Measured     time.Time     // when it last answered; zero if it has not
}

// Health lists the mirrors of the archives that have several, in the order in
// which they are configured.
func (c *Client) Health() []MirrorHealth {
	var all []MirrorHealth
	for i := range c.mirrors.archives {
		a := &c.mirrors.archives[i]
		for _, d := range a.mirrors {
			all = append(all, MirrorHealth{Archive: a.url, URL: d.url})
		}
	}
	return all
}
