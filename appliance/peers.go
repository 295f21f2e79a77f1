package main

import (
	"context"
	"errors"
	"io"
	"iter"

	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// peers is the swarm as fetch wants it.
type peers struct{ peer.Swarm }

var _ fetch.Peers = peers{}

// Neighbours implements fetch.Peers.
func (p peers) Neighbours(d digest.Digest) []fetch.Peer { return neighbours(p.Seeds(d)) }

// Downloading implements fetch.Peers.
func (p peers) Downloading(d digest.Digest) []fetch.Peer { return neighbours(p.Downloaders(d)) }

// Elders implements fetch.Peers.
func (p peers) Elders(d digest.Digest) []fetch.Peer { return neighbours(p.Owners(d)) }

// Find implements fetch.Peers.
func (p peers) Find(ctx context.Context, d digest.Digest) iter.Seq[fetch.Peer] {
	return func(yield func(fetch.Peer) bool) {
		for q := range p.Swarm.Find(ctx, d) {
			if !yield(neighbour{q}) {
				return
			}
		}
	}
}

func neighbours(all []peer.Peer) []fetch.Peer {
	list := make([]fetch.Peer, len(all))
	for i, p := range all {
		list[i] = neighbour{p}
	}
	return list
}

// neighbour is a peer as fetch wants it.
type neighbour struct{ peer.Peer }

var _ fetch.Peer = neighbour{}

// Open implements fetch.Peer.
func (b neighbour) Open(ctx context.Context, d digest.Digest, off, n int64, start bool) (*fetch.Stream, error) {
	s, err := b.Peer.Open(ctx, d, peer.Request{Off: off, N: n, Fetch: start})
	if err != nil {
		return nil, inFetchWords(err)
	}
	return &fetch.Stream{ReadCloser: neighbourBody{s.ReadCloser}, Off: s.Off, Size: s.Size}, nil
}

// Pieces implements fetch.Peer.
func (b neighbour) Pieces(ctx context.Context, d digest.Digest) (size int64, have []byte, err error) {
	return b.Peer.Pieces(ctx, d)
}

// neighbourBody is a body with fetch's errors.
type neighbourBody struct{ io.ReadCloser }

func (b neighbourBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = inFetchWords(err)
	}
	return n, err
}

// inFetchWords translates what fetch decides by.
func inFetchWords(err error) error {
	switch {
	case errors.Is(err, peer.ErrBusy):
		return errors.Join(fetch.ErrBusy, err)
	case errors.Is(err, peer.ErrStalled):
		return errors.Join(mirror.ErrStalled, err)
	}
	return err
}

// Report implements fetch.Peer.
func (b neighbour) Report(o fetch.Outcome) {
	faults := map[fetch.Fault]peer.Fault{fetch.Slow: peer.Slow, fetch.Failed: peer.Failed, fetch.Lied: peer.Lied}
	b.Peer.Report(peer.Outcome{Bytes: o.Bytes, Took: o.Took, Fault: faults[o.Fault], Why: o.Why})
}
