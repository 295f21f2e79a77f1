package pieces

import (
	"context"
	"fmt"
	"io"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// piece gets the piece of r, and writes it if it agrees with what is in force.
func (d *download) piece(r *request) error {
	ctx, s, i := r.ctx, r.source, r.piece
	room, err := d.options.Buffers.get(ctx)
	if err != nil {
		return err
	}
	defer d.options.Buffers.put(room)
	off, n := peer.PieceAt(i, d.sink.Size())
	buf, begun := room[:n], time.Now()
	d.picker.send(r)
	if err := d.receive(r, buf, off); err != nil {
		return err
	}
	took := time.Since(begun)
	s.took.Store(int64(max(took, 1)))
	s.Report(peer.Outcome{Bytes: n, Took: took})
	if sum := digest.Of(buf); d.accept(s, i, sum) {
		d.write(i, buf, sum, s)
	}
	return nil
}

// receive fills buf from off on.
func (d *download) receive(r *request, buf []byte, off int64) error {
	ctx, cancel := context.WithTimeoutCause(r.ctx, d.options.Timeouts.Piece, ErrSlow)
	defer cancel()
	stream, err := r.source.Open(ctx, off, int64(len(buf)))
	if err != nil {
		return cause(ctx, err)
	}
	defer stream.Close()
	if stream.Off != off {
		return fmt.Errorf("%w: asked for %d, it sent %d", errNoRange, off, stream.Off)
	}
	if _, err := io.ReadFull(counted{stream, r, d}, buf); err != nil {
		return cause(ctx, err)
	}
	return nil
}

// counted counts what comes for a request.
type counted struct {
	io.Reader
	r *request
	d *download
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if n > 0 {
		c.r.hear(n)
	}
	c.d.got.Add(int64(n))
	return n, err
}

// cause prefers the cause of ctx's end to the error that the end led to.
func cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// accept notes what s sent as piece i. It returns false if the piece is not to be
// written: it differs from what is in force, and then s is asked for no more pieces,
// or another source has sent it meanwhile.
func (d *download) accept(s *source, i int, sum digest.Digest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	agrees := d.manifests.sent(s.witness, s.verified, i, sum)
	d.putInOrder()
	if !agrees {
		d.result.Wrong++
		d.log.Warn("piece differs from the manifest, taking it elsewhere", "source", s.String(), "piece", i)
		return false
	}
	if !d.picker.got(i, s) {
		return false
	}
	d.writing[i] = true
	return true
}

// write adds a piece that was accepted.
func (d *download) write(i int, buf []byte, sum digest.Digest, s *source) {
	err := d.sink.Write(i, buf, s.Source)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.writing, i)
	if err != nil {
		d.fault(err)
		return
	}
	d.manifests.wrote(i, sum)
	d.putInOrder()
	if d.picker.finished() && len(d.writing) == 0 {
		d.stop()
	}
}

// fault ends the download with an error of the Sink. d.mu is held.
func (d *download) fault(err error) {
	if d.err == nil {
		d.err = err
	}
	d.stop()
}

// reconcile is putInOrder after somebody has stated a manifest.
func (d *download) reconcile() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.putInOrder()
	d.picker.recheck()
}

// putInOrder forgets the pieces that differ from what is in force now, drops the
// sources that do, and takes in those that no longer do. Pieces that are being written
// come after that. Once the download has ended, nothing is forgotten, as nobody would get
// it again: the digest of the whole file decides. d.mu is held.
func (d *download) putInOrder() {
	for _, i := range d.manifests.disagreeing() {
		if d.writing[i] || d.ctx.Err() != nil {
			continue
		}
		d.log.Info("piece forgotten, as it differs from the manifest", "piece", i)
		if err := d.sink.Forget(i); err != nil {
			d.fault(err)
			return
		}
		d.manifests.Forgot(i)
		d.picker.reopen(i)
	}
	for _, i := range d.manifests.fix(func(i int) bool { return d.vouched[i] || d.writing[i] }) {
		d.vouched[i] = true
		d.sink.Vouched(i)
	}
	for _, s := range d.active {
		if d.manifests.barred(s.witness) {
			d.standby = append(d.standby, d.newSource(s.Source))
			d.drop(s)
		}
	}
	d.startMore()
}

// watchHope gives up the hypothesis in force when it keeps the only sources away that
// could send a missing piece in time.
func (d *download) watchHope() {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-d.ctx.Done():
			return
		}
		d.mu.Lock()
		if d.ctx.Err() == nil && d.picker.hopeless(d.active, d.standby, d.manifests) && d.manifests.giveUp() {
			d.log.Info("manifest given up, as nobody sends what it says")
			d.putInOrder()
			d.picker.recheck()
		}
		d.mu.Unlock()
	}
}
