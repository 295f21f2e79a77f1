package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// TestLiars speaks blobProtocol with boxes that do it badly.
func TestLiars(t *testing.T) {
	t.Parallel()
	d := digest.Of([]byte("d"))
	reply := func(text string) func(network.Stream) {
		return func(st network.Stream) {
			defer st.Close()
			buf := make([]byte, 4096)
			if _, err := st.Read(buf); err == nil {
				st.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
			}
		}
	}
	at := func(pace peer.Pace) func(*remote, context.Context) error {
		return func(p *remote, ctx context.Context) error {
			a, err := p.Open(ctx, d, peer.Request{Off: 10, N: 10, Pace: pace})
			if err != nil {
				return err
			}
			defer a.Close()
			_, err = io.Copy(io.Discard, a)
			return err
		}
	}
	whole := at(peer.Pace{})
	// On a busy machine a lie can be late, and a stall is no lie.
	whenever := at(peer.Pace{Bytes: 1, Per: time.Minute})
	for _, c := range []struct {
		name   string
		serve  func(network.Stream)
		ask    func(*remote, context.Context) error
		banned bool
		want   error // nil: any
	}{
		{"garbage", reply(strings.Repeat("\x00\xffgarbage", 1000)), whole, false, nil},
		{"endless header", func(st network.Stream) {
			for {
				if _, err := st.Write([]byte("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 1<<16))); err != nil {
					return
				}
			}
		}, whole, false, nil},
		{"nothing at all", func(network.Stream) {}, whole, false, peer.ErrStalled},
		{"stalls", reply("HTTP/1.1 206 OK\nContent-Length: 10\nContent-Range: bytes 10-19/100\n\n12345"), whole, false, io.ErrUnexpectedEOF},
		{"other range", reply("HTTP/1.1 206 OK\nContent-Length: 10\nContent-Range: bytes 0-9/100\n\n1234567890"), whenever, true, nil},
		{"more than asked for", reply("HTTP/1.1 206 OK\nContent-Length: 90\nContent-Range: bytes 10-99/100\n\n1234567890"), whenever, true, nil},
		{"length and range differ", reply("HTTP/1.1 206 OK\nContent-Length: 90\nContent-Range: bytes 10-19/100\n\n1234567890"), whenever, true, nil},
		{"no range named", reply("HTTP/1.1 206 OK\nContent-Length: 10\n\n1234567890"), whenever, true, nil},
		{"endless chunks", func(st network.Stream) {
			defer st.Reset()
			fmt.Fprint(st, "HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 10-19/100\r\n\r\n")
			for {
				if _, err := fmt.Fprintf(st, "4\r\n1234\r\n"); err != nil {
					return
				}
			}
		}, whenever, true, nil},
		{"manifest of odd length", reply("HTTP/1.1 200 OK\nContent-Length: 3\n\n123"), func(p *remote, ctx context.Context) error {
			_, err := p.Manifest(ctx, d)
			return err
		}, true, nil},
		{"pieces of nonsense", reply("HTTP/1.1 200 OK\nContent-Length: 9\n\n\xff23456789"), func(p *remote, ctx context.Context) error {
			_, _, err := p.Pieces(ctx, d)
			return err
		}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			giver, taker, from := pair(t, nil)
			giver.host.SetStreamHandler(blobProtocol, c.serve)
			err := c.ask(from, t.Context())
			switch {
			case err == nil:
				t.Fatal("no error")
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("got %v, want %v", err, c.want)
			}
			if got := taker.banned(giver.self()); got != c.banned {
				t.Errorf("banned %t, want %t, after %v", got, c.banned, err)
			}
			if c.banned {
				until(t, "the liar to be cut off", func() bool { return taker.direct(giver.self()) == nil })
			}
		})
	}
}

func TestStall(t *testing.T) {
	long(t)
	t.Parallel()
	_, _, from := pair(t, func(o *settings) {
		o.Inventory = staged{newShelf(), func(ctx context.Context, _ peer.Asker, d digest.Digest, _ peer.Request) (peer.Upload, error) {
			g, w := grow(ctx, 100)
			go w.Write([]byte("1"))
			return g, nil
		}, nil}
	})
	a, err := from.Open(t.Context(), digest.Digest{1}, peer.Request{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	begun := time.Now()
	if _, err := io.Copy(io.Discard, a); !errors.Is(err, peer.ErrStalled) {
		t.Errorf("got %v, want %v", err, peer.ErrStalled)
	}
	if took := time.Since(begun); took < stallTimeout || took > 3*stallTimeout {
		t.Errorf("noticed after %s, want %s", took, stallTimeout)
	}
}

// TestGarbageRequests must leave the box serving.
func TestGarbageRequests(t *testing.T) {
	long(t)
	t.Parallel()
	giver, taker, from := pair(t, nil)
	d := giver.shelf.put([]byte("a blob"))
	for _, text := range []string{
		"\x00\x01\x02garbage\r\n\r\n",
		"GET /blob/xyz HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /../../etc HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /blob/" + d.String() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
		"GET /blob/" + d.String() + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"GET /blob/" + d.String() + " HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0,1-1,2-2\r\n\r\n",
	} {
		st, err := taker.host.NewStream(t.Context(), giver.self(), blobProtocol)
		if err != nil {
			t.Fatal(err)
		}
		st.SetDeadline(time.Now().Add(2 * time.Second)) // nobody need read all of it
		st.Write([]byte(text))
		st.CloseWrite()
		answer, _ := io.ReadAll(io.LimitReader(st, 1<<16))
		if bytes.Contains(answer, []byte("multipart")) {
			t.Errorf("%.40q got a multipart answer", text)
		}
		st.Reset()
	}
	a, err := from.Open(t.Context(), d, peer.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, a); string(got) != "a blob" {
		t.Errorf("got %q", got)
	}
}
