package dashboard

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"millpond/internal/digest"
	"millpond/internal/front"
)

const (
	// wrongAtOnce and wrongEvery are how many wrong tokens of a client are told
	// from missing ones: some slips of everybody behind one address. The others
	// get 429. Right tokens always count, or a client could shut out those who
	// share its address; what makes guessing hopeless is the token's length.
	wrongAtOnce = 10
	wrongEvery  = 6 * time.Second
	// wrongInAll and wrongInAllEvery bound the wrong tokens of all clients together, so
	// that many addresses are no way around the limit of one.
	wrongInAll      = 200
	wrongInAllEvery = time.Second
	// burstEnds is after how long a client that went wrong begins anew.
	burstEnds = 10 * time.Minute
	// maxBursts bounds the clients that are counted one by one, at some 150 bytes
	// each. Those beyond are counted together.
	maxBursts = 1024
)

const tooMany = "Too many wrong tokens came from this address; the right one works all the same."

var retryAfter = strconv.Itoa(int(wrongEvery / time.Second))

// bursts counts what clients do wrong again and again. The zero value is ready to use.
type bursts struct {
	mu sync.Mutex
	of map[front.Party]*burst // guarded by mu

	all *rate.Limiter // guarded by mu; nil before the first
}

type burst struct {
	what digest.Digest // of the last time
	last time.Time
	rate *rate.Limiter
}

// add counts one more of client, and reports whether that is within the limit. The same
// thing again is nothing new: a browser sends one wrong password with all that a page
// asks for.
func (b *bursts) add(client netip.Addr, what string) (within bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	key := front.PartyOf(client)
	one := b.of[key]
	if one == nil || now.Sub(one.last) > burstEnds {
		key = b.room(key, now)
		if one = b.of[key]; one == nil {
			one = &burst{rate: rate.NewLimiter(rate.Every(wrongEvery), wrongAtOnce)}
			b.of[key] = one
		}
	}
	one.last = now
	before := one.what
	one.what = sha256.Sum256([]byte(what))
	if b.all == nil {
		b.all = rate.NewLimiter(rate.Every(wrongInAllEvery), wrongInAll)
	}
	return one.what == before || one.rate.AllowN(now, 1) && b.all.AllowN(now, 1)
}

// forget forgets what a client did.
func (b *bursts) forget(client netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.of, front.PartyOf(client))
}

// room forgets bursts that ended, and returns the key that a new one has. mu is
// held.
func (b *bursts) room(key front.Party, now time.Time) front.Party {
	if b.of == nil {
		b.of = make(map[front.Party]*burst)
	}
	for k, one := range b.of {
		if now.Sub(one.last) > burstEnds {
			delete(b.of, k)
		}
	}
	if len(b.of) < maxBursts {
		return key
	}
	return front.Party{}
}

// wrongToken counts a wrong token, and reports whether it is to be answered as one. The
// answer has the request ID that the log has.
func (d *Dashboard) wrongToken(w http.ResponseWriter, r *http.Request, token string) bool {
	client, id := front.ClientOf(r), front.NewRequestID()
	d.log.Warn("wrong token", "request", id, "client", client, "method", r.Method, "path", short(r.URL.Path, maxText))
	w.Header().Set(front.RequestID, id)
	return d.wrongTokens.add(client, token)
}
