package fetch

import "time"

// How long a peer that holds a file may be silent. It answers from its disk, so that
// twice what it usually takes is long.
const (
	// holderLeast is above what a disk takes that was idle, and a round trip within a
	// continent.
	holderLeast = 100 * time.Millisecond
	// holderUnknown leaves time to send a lost packet again: TCP does so after 200 ms
	// at least on Linux, and a round trip.
	holderUnknown = 300 * time.Millisecond
	holderMost    = maxSilence
)

// How long a peer may be silent that must get the file first.
const (
	// relayLeast and relayMargin, on top of what the mirror takes here, leave time to
	// send a lost packet again, and for the moment in which the peer looks for the file
	// itself.
	relayLeast  = 300 * time.Millisecond
	relayMargin = 200 * time.Millisecond
	// relayMost is for a peer whose mirror is not known to take longer than half of
	// it, and slowRelayMost for one whose mirror is.
	relayMost     = maxSilence
	slowRelayMost = 2 * time.Second
	// promptLeast and promptMargin are for a peer that is to ask its mirror at once,
	// while others are silent already. After five silent ones there is still time for
	// the sixth within maxSilence; one that is late but honest costs the mirror what it
	// sends until the first of them sends to this box.
	promptLeast  = 120 * time.Millisecond
	promptMargin = 60 * time.Millisecond
)

// A peer that has sent fluentBytes may then be silent for fluentPatience: another source,
// which has just been asked, would take its place because of a moment's pause.
const (
	fluentBytes    = 1 << 20
	fluentPatience = 600 * time.Millisecond
)

// patience is for how long a source may be silent that may be for so long at first.
func (r reading) patience(first time.Duration) time.Duration {
	if r.got < fluentBytes {
		return first
	}
	return max(first, fluentPatience)
}

// maxSilence is for how long all peers together may keep a client waiting before this
// box asks the mirror: what dishonest peers may cost.
const maxSilence = time.Second

// patience is how long a peer is waited for without a byte. Where the box itself is
// late, lateness is added to both.
type patience struct {
	// own is what the peer usually takes, and as much again: after that it is silent.
	own time.Duration
	// prompt, at most own, is when the next source is asked while others are silent
	// already.
	prompt time.Duration
}

// patienceWith returns how long s may be silent: longer, the longer it usually takes,
// or where that is not known the mirror. It is zero for a mirror, which is not waited
// for so.
func (d *download) patienceWith(s source, mirrors []mirrorSource) patience {
	p, ok := s.(*peerSource)
	if !ok {
		return patience{}
	}
	usual := d.fl.f.paces.known(p.Record())
	switch {
	case p.kind != seed:
		mirror := time.Duration(0)
		if len(mirrors) > 0 {
			mirror = d.fl.f.paces.known(mirrors[0].Record()).released(d.fl.entry.Size)
		}
		return relayPatience(usual.relay, mirror)
	case usual.first > 0:
		own := min(max(2*usual.first, holderLeast), holderMost)
		return patience{own: own, prompt: own}
	}
	return patience{own: holderUnknown, prompt: holderLeast}
}

// released is how long a mirror of that pace takes for what a box must have of a file of
// that size before it gives out the first byte; 0 if its pace is not known.
func (p pace) released(size int64) time.Duration {
	if p.first == 0 || p.rate == 0 || size > holdback {
		return p.first
	}
	return p.first + time.Duration(float64(size)/p.rate*float64(time.Second))
}

// relayPatience is for a peer that usually takes relay to the first byte of what it
// must get first, where the mirror takes so long here for as much as it must get (see
// released); 0 is unknown.
func relayPatience(relay, mirror time.Duration) patience {
	most := relayMost
	switch {
	case mirror > 0:
		most = min(max(2*mirror, relayMost), slowRelayMost)
	case relay > 0:
		most = slowRelayMost
	}
	if mirror == 0 {
		mirror = assumedFirst
	}
	own, prompt := mirror+relayMargin, mirror+promptMargin
	if relay > 0 {
		own, prompt = 2*relay, 2*relay
	}
	own = min(max(own, relayLeast), most)
	return patience{own: own, prompt: min(max(prompt, promptLeast), own)}
}

// lateness is how much longer peers are waited for: what this box may be late in
// reading an answer, and as much for the peer, since the boxes of a site are loaded at
// the same times.
func (f *Fetcher) lateness() time.Duration { return 2 * f.lag() }
