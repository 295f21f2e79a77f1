package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// maxSize bounds a Release file in memory. Debian's is 150 kB; the largest
// known, of archives with many architectures and components, are a few MB.
// Verifying many signatures over much more would take seconds.
const maxSize = peer.MaxRelease

// doubtAfter is how long a mirror without ETags is believed that says, without a
// date of its own, that nothing is newer.
const doubtAfter = time.Hour

// pull requests a file of which v is held. A nil body says that v is current;
// the record returned is in force then too.
func (c *Cache) pull(ctx context.Context, l catalog.Location, v record, to target) ([]byte, record, error) {
	moved := to.mirror != v.Mirror
	if moved {
		v.ETag = "" // another server's
	}
	resp, body, err := c.request(ctx, l, v, to, moved)
	if err != nil {
		return nil, v, err
	}
	sole := v.Digest.IsZero()
	v.From, v.Mirror, v.Reach = cameFrom(l, resp, to.login), resp.Mirror, reachOf(resp)
	if resp.Status == http.StatusNotModified {
		return nil, v.confirmed(), nil
	}
	if len(body) > maxSize {
		return nil, v, fmt.Errorf("%w: it is longer than %d bytes", ErrNotRelease, maxSize)
	}
	d := digest.Of(body)
	if d == v.Digest { // a mirror without validators sends it all each time
		return nil, v.again(resp), nil
	}
	n := mirror.NewCopy(d, int64(len(body)), resp)
	return body, record{Copy: n, SeenBy: n.Clock, Sole: sole, From: v.From, Mirror: v.Mirror, Reach: v.Reach}, nil
}

// reachOf is what an answer says of the place that it came from.
func reachOf(resp *mirror.Response) catalog.Reach {
	return catalog.Reach{Public: resp.Private == "", Why: resp.Private}
}

// request requests the file at l, of which v is held, and reads the answer. It asks
// again where a 304 may stand for other bytes than v's, and where the body broke off
// and no other mirror can be asked.
func (c *Cache) request(ctx context.Context, l catalog.Location, v record, to target, moved bool) (*mirror.Response, []byte, error) {
	c.asks(l, to.login)
	ask := v.conditions().Request(l.URL())
	if to.reload {
		ask = mirror.Request{URL: l.URL(), Reload: true}
	}
	resp, body, err := c.receive(ctx, to.request(ask))
	if err == nil && resp.Status == http.StatusNotModified && v.doubts(resp, moved) {
		resp, body, err = c.receive(ctx, to.request(mirror.Request{URL: l.URL(), Reload: true}))
	}
	if resp == nil || err == nil || to.failover {
		return resp, body, err
	}
	return c.receive(ctx, to.request(mirror.Request{URL: l.URL(), Revalidate: true}))
}

// receive sends q and reads the answer, which is nil if there is none. That the connection
// was needed for another client says nothing about the file: then q is sent again.
func (c *Cache) receive(ctx context.Context, q mirror.Request) (resp *mirror.Response, body []byte, err error) {
	for {
		if resp, err = c.access.Get(ctx, q); err != nil {
			return nil, nil, err
		}
		if body, err = readAll(resp); !errors.Is(err, mirror.ErrGaveWay) {
			return resp, body, err
		}
	}
}

// readAll reads and closes the body of an answer, up to a byte more than maxSize.
func readAll(resp *mirror.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxSize+1))
}

// doubts reports whether a 304 may stand for other bytes than v's: a mirror
// without ETags that was set back has nothing newer than v's date, but has
// something older. So may one that did not send v.
func (v record) doubts(r *mirror.Response, moved bool) bool {
	switch {
	case v.ETag != "" && r.ETag != "":
		return strings.TrimPrefix(v.ETag, "W/") != strings.TrimPrefix(r.ETag, "W/")
	case !r.LastModified.IsZero():
		return !r.LastModified.Equal(v.LastModified)
	case moved:
		return true
	case v.ETag != "":
		return false
	}
	_, seen, ok := clock.Since(v.Seen, v.SeenBy)
	_, compared, again := clock.Since(v.Compared, v.ComparedBy)
	return (!ok || seen >= doubtAfter) && (!again || compared >= doubtAfter)
}
