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
	// burstEnds is after how long a client that went wrong begins anew.
	burstEnds = 10 * time.Minute
	// maxBursts bounds the clients that are counted one by one, at some 150 bytes
	// each. Those beyond are counted together.
	maxBursts = 1024
)

const tooMany = "Too many wrong tokens came from this address; the right one works all the same."

var retryAfter = strconv.Itoa(int(wrongEvery / time.Second))

// bursts counts what clients do wrong again and again, of which the log is to have
// some lines, not one for each time. The zero value is ready to use.
type bursts struct {
	mu sync.Mutex
	of map[netip.Prefix]*burst // guarded by mu
}

type burst struct {
	times int
	what  digest.Digest // of the last time
	last  time.Time
	rate  *rate.Limiter
}

// add counts one more of client. It returns how many there have been in this burst,
// and whether that is within the limit. The same thing again is nothing new: a
// browser sends one wrong password with all that a page asks for.
func (b *bursts) add(client netip.Addr, what string) (times int, within bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	key := keyOf(client)
	one := b.of[key]
	if one == nil || now.Sub(one.last) > burstEnds {
		key = b.room(key, now)
		if one = b.of[key]; one == nil {
			one = &burst{rate: rate.NewLimiter(rate.Every(wrongEvery), wrongAtOnce)}
			b.of[key] = one
		}
	}
	one.times++
	one.last = now
	before := one.what
	one.what = sha256.Sum256([]byte(what))
	return one.times, one.what == before || one.rate.AllowN(now, 1)
}

// forget forgets what a client did.
func (b *bursts) forget(client netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.of, keyOf(client))
}

// room forgets bursts that ended, and returns the key that a new one has. mu is
// held.
func (b *bursts) room(key netip.Prefix, now time.Time) netip.Prefix {
	if b.of == nil {
		b.of = make(map[netip.Prefix]*burst)
	}
	for k, one := range b.of {
		if now.Sub(one.last) > burstEnds {
			delete(b.of, k)
		}
	}
	if len(b.of) < maxBursts {
		return key
	}
	return netip.Prefix{}
}

// keyOf is what stands for a client: a machine has all of an IPv6 /64.
func keyOf(client netip.Addr) netip.Prefix {
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	key, _ := client.Prefix(bits) // the zero Prefix for no address
	return key
}

// isRound reports whether a count is one to log: 1, 10, 100, and so on.
func isRound(n int) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// wrongToken counts a wrong token, and reports whether it is to be answered as one.
func (d *Dashboard) wrongToken(r *http.Request, token string) bool {
	client := front.ClientOf(r)
	times, within := d.wrongTokens.add(client, token)
	if isRound(times) {
		d.log.Warn("wrong token", "client", client, "times", times, "method", r.Method, "path", short(r.URL.Path))
	}
	return within
}
