package fetch

import (
	"context"
	"io"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/peer"
)

// datedPause is how long the box leaves dated archives alone after each request. They
// serve everybody from slow disks, and refuse who asks for much at once.
const datedPause = time.Second

// datedTurn lets one request to a dated archive through at a time.
type datedTurn struct {
	free  chan struct{}
	pause time.Duration
}

func newDatedTurn() *datedTurn {
	t := &datedTurn{make(chan struct{}, 1), datedPause}
	t.free <- struct{}{}
	return t
}

// open calls request when it is its turn, which lasts until the stream is closed.
func (t *datedTurn) open(ctx context.Context, request func() (*peer.Stream, error)) (*peer.Stream, error) {
	select {
	case <-t.free:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	end := sync.OnceFunc(func() { time.AfterFunc(t.pause, func() { t.free <- struct{}{} }) })
	s, err := request()
	if err != nil {
		end()
		return nil, err
	}
	s.ReadCloser = &inTurn{s.ReadCloser, end}
	return s, nil
}

// inTurn is a body whose end ends the turn.
type inTurn struct {
	io.ReadCloser
	end func()
}

func (b *inTurn) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// dated lists where dated archives have the flight's content as it was, as requests for
// it say. They are asked after all other sources.
func (fl *flight) dated() (all []mirrorSource) {
	for _, p := range fl.inOrder() {
		if p.dated == (catalog.Location{}) || fl.key.login != "" {
			continue
		}
		for _, m := range fl.f.mirrorsAt(p.dated, "", p.entry.Size, "") {
			m.turn, m.via = fl.f.datedTurn, p.via
			all = append(all, m)
		}
	}
	return all
}
