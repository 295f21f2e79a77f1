package load

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a client waits for a file in all.
const patience = 2 * time.Minute

// account is what a client address got, by its own count.
type account struct {
	received int64 // body bytes of files
	missing  int64 // at most, of answers that it did not read to the end: those may have been sent
}

// tally is what clients of a kind got.
type tally struct {
	requests, complete, refused, cut int
	bytes                            int64
}

// books are the accounts of all clients of a box.
type books struct {
	mu       sync.Mutex // guards all below
	next     netip.Addr
	accounts map[netip.Addr]*account
	tallies  map[string]*tally
	refusals map[string]int // by status and cause
	wrong    []string       // complete files with wrong bytes
}

func newBooks() *books {
	return &books{
		next:     netip.MustParseAddr("127.1.0.1"),
		accounts: make(map[netip.Addr]*account), tallies: make(map[string]*tally), refusals: make(map[string]int),
	}
}

// address returns one that no client had before.
func (b *books) address() netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	addr := b.next
	b.next = addr.Next()
	b.accounts[addr] = new(account)
	return addr
}

// changing is what differs in two refusals for the same cause.
var changing = regexp.MustCompile(`\(\w+\)$|\d[\d.:]*|\S*/\S*`)

// refuse notes a refusal, by its status line.
func (b *books) refuse(status string) {
	code, cause, _ := strings.Cut(status, " ")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals[code+" "+changing.ReplaceAllString(cause, "…")]++
}

// After so many requests or bytes a client takes another address. The ledger keeps
// 20,000 apart.
const (
	mostRequests = 100
	mostBytes    = 100e6
)

// client is an HTTP client of a box, with an address of its own. Once an answer has not
// come to its end, nobody knows how much of it was on the way, so that the client takes
// another address, and others now and then, too: what each address that was never cut
// has received is what was sent to it.
type client struct {
	books *books
	proxy *url.URL
	kind  string
	right func(path string, sum [32]byte) bool

	addr   netip.Addr
	asking netip.Addr // of the present request
	http   *http.Client
	asked  int // from this address
}

func newClient(t *testing.T, b *books, proxy, kind string, right func(string, [32]byte) bool) *client {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{books: b, proxy: u, kind: kind, right: right}
	c.move()
	t.Cleanup(func() { c.http.CloseIdleConnections() })
	return c
}

// move takes another address.
func (c *client) move() {
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	c.addr, c.asked = c.books.address(), 0
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: c.addr.AsSlice()}}
	c.http = &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(c.proxy), DialContext: dialer.DialContext, DisableCompression: true,
	}}
}

// how says how a client asks for a file, and how it reads the answer.
type how struct {
	method string // GET if empty
	header map[string]string
	rate   int64 // bytes a second; 0 for as fast as they come
	leave  int64 // after so many bytes; 0 to stay to the end
	size   int64 // of the file at most, where the client may get no header; 16 MiB if 0
}

var (
	errCut  = errors.New("the answer ended early")
	errLeft = errors.New("the client left") // as it was told to; it keeps its address
)

// get asks for a file and notes what comes. A status other than that of a file is no error.
func (c *client) get(ctx context.Context, target string, h how) (status int, etag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	h.size = cmp.Or(h.size, 16<<20)
	if h.method == "" {
		h.method = http.MethodGet
	}
	c.asking = c.addr
	connections := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }})
	req, err := http.NewRequestWithContext(ctx, h.method, target, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	defer func() {
		if connections > 1 {
			c.repeated()
		}
	}()
	for name, value := range h.header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.note(0, 0, h.size, errCut)
		return 0, "", fmt.Errorf("%w: %w", errCut, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		_, err := io.Copy(io.Discard, resp.Body)
		if err != nil {
			err = fmt.Errorf("%w: %w", errCut, err)
		}
		if err == nil && resp.StatusCode >= http.StatusInternalServerError {
			c.books.refuse(resp.Status)
		}
		c.note(resp.StatusCode, 0, 0, err)
		return resp.StatusCode, "", err
	}
	sum, n, err := c.read(resp.Body, h)
	size := resp.ContentLength
	if size < 0 {
		size = h.size
	}
	c.note(resp.StatusCode, n, size, err)
	if err == nil && resp.StatusCode == http.StatusOK && h.method == http.MethodGet && !c.right(req.URL.Path, sum) {
		c.books.mu.Lock()
		c.books.wrong = append(c.books.wrong, req.URL.Path)
		c.books.mu.Unlock()
	}
	return resp.StatusCode, resp.Header.Get("ETag"), err
}

// mostUnsent is how much net/http's server, the box's, holds back of an answer.
const mostUnsent = 8 << 10

// repeated notes that net/http asked again on another connection, as it does where the
// one that it had was cut before the first byte of an answer. The box may have written
// the beginning of one, which never left it.
func (c *client) repeated() {
	c.books.mu.Lock()
	c.books.accounts[c.asking].missing += mostUnsent
	c.books.mu.Unlock()
	if c.addr == c.asking {
		c.move()
	}
}

// read reads a body as h says.
func (c *client) read(body io.Reader, h how) (sum [32]byte, n int64, err error) {
	hash, buf, begun := sha256.New(), make([]byte, 32<<10), time.Now()
	for {
		part := buf
		if h.rate > 0 {
			part = buf[:min(int64(len(buf)), max(1, h.rate/10))]
		}
		m, err := body.Read(part)
		hash.Write(part[:m])
		n += int64(m)
		switch {
		case err == io.EOF:
			return [32]byte(hash.Sum(nil)), n, nil
		case err != nil:
			return sum, n, fmt.Errorf("%w: %w", errCut, err)
		case h.leave > 0 && n >= h.leave:
			return sum, n, errLeft
		case h.rate > 0:
			time.Sleep(time.Until(begun.Add(time.Duration(n) * time.Second / time.Duration(h.rate)))) // a slow reader
		}
	}
}

// note enters what came of a request: n of size bytes of a file.
func (c *client) note(status int, n, size int64, err error) {
	c.books.mu.Lock()
	account := c.books.accounts[c.addr]
	account.received += n
	t := c.books.tallies[c.kind]
	if t == nil {
		t = new(tally)
		c.books.tallies[c.kind] = t
	}
	t.requests++
	t.bytes += n
	switch {
	case err != nil:
		t.cut++
		account.missing += max(0, size-n)
	case status >= http.StatusInternalServerError:
		t.refused++
	default:
		t.complete++
	}
	c.books.mu.Unlock()
	c.asked++
	if errors.Is(err, errCut) || !errors.Is(err, errLeft) && (c.asked >= mostRequests || account.received >= mostBytes) {
		c.move()
	}
}
