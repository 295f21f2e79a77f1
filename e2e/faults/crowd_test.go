package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

// crowd is some clients that get files through a box, over and over.
type crowd struct {
	box     *box.Box
	archive *archive
	client  *http.Client
	keep    bool // wrong files, a few of each path

	mu       sync.Mutex // guards all below
	received []progress
	complete map[string][32]byte // what came in full, with the status 200
	wrong    map[string]int      // by path: complete files with wrong bytes
	kept     map[string][][]byte // the first of these
	refused  map[string]int      // by status and text: answers other than 200
	gets     int                 // complete files
	cut      int                 // answers that ended early
}

// progress is how many bytes of files had been received in all at a time.
type progress struct {
	at    time.Time
	bytes int64
}

func newCrowd(t *testing.T, b *box.Box, a *archive) *crowd {
	t.Helper()
	proxy, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{box: b, archive: a, client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), MaxIdleConnsPerHost: 100}}}
	t.Cleanup(c.client.CloseIdleConnections)
	c.reset()
	return c
}

// reset forgets what came.
func (c *crowd) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received, c.complete = []progress{{at: time.Now()}}, make(map[string][32]byte)
	c.kept = make(map[string][][]byte)
	c.wrong, c.refused, c.gets, c.cut = make(map[string]int), make(map[string]int), 0, 0
}

// run has n clients get files until ctx ends and the box has sent what it sends. One of
// them reads slowly.
func (c *crowd) run(ctx context.Context, r *rand.Rand, n int) (wait func()) {
	var clients sync.WaitGroup
	for i := range n {
		mine := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		rate := int64(0)
		if i == 0 {
			rate = 2e6
		}
		clients.Go(func() {
			for ctx.Err() == nil {
				// Without ctx: what was sent before the end counts, too.
				if err := c.get(context.WithoutCancel(ctx), c.archive.choose(mine), rate); err != nil {
					time.Sleep(5 * time.Millisecond) // the box is away for a moment
				}
			}
		})
	}
	return clients.Wait
}

// get gets a file and notes what came of it. An error means that it did not come in full.
func (c *crowd) get(ctx context.Context, path string, rate int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.archive.mirror.URL(path), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused[fmt.Sprintf("%s: %s", resp.Status, strings.ReplaceAll(string(text), path, "PATH"))]++
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, text)
	}
	var whole bytes.Buffer
	body := io.Reader(resp.Body)
	if c.keep {
		body = io.TeeReader(body, &whole)
	}
	sum, err := c.read(body, rate)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut++
		return fmt.Errorf("GET %s: %w", path, err)
	}
	right := c.archive.isRight(path, sum)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gets++
	if !right {
		c.wrong[path]++
		if c.keep && len(c.kept[path]) < 4 {
			c.kept[path] = append(c.kept[path], whole.Bytes())
		}
		return nil
	}
	c.complete[path] = sum
	return nil
}

// read reads a body, at most at a rate if that is not 0, and counts what comes.
func (c *crowd) read(body io.Reader, rate int64) (sum [32]byte, err error) {
	hash, buf, begun, n := sha256.New(), make([]byte, 64<<10), time.Now(), int64(0)
	for {
		m, err := body.Read(buf)
		hash.Write(buf[:m])
		c.count(int64(m))
		if err == io.EOF {
			return [32]byte(hash.Sum(nil)), nil
		}
		if err != nil {
			return sum, err
		}
		if n += int64(m); rate > 0 {
			time.Sleep(time.Until(begun.Add(time.Duration(n) * time.Second / time.Duration(rate)))) // a slow reader
		}
	}
}

func (c *crowd) count(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.received = append(c.received, progress{time.Now(), c.received[len(c.received)-1].bytes + n})
	}
}

// bytes is what clients received.
func (c *crowd) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received[len(c.received)-1].bytes
}

// behind returns how long before an end the clients received the first byte of theirs
// that a ledger with so many does not have.
func behind(received []progress, ledger int64, end time.Time) time.Duration {
	for _, p := range received {
		if p.bytes > ledger {
			return max(0, end.Sub(p.at))
		}
	}
	return 0
}
