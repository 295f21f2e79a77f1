package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"
)

const (
	// maxUnwritten bounds the lines, in bytes, that wait to be written: those of some
	// seconds at 1,000 requests a second.
	maxUnwritten = 1 << 20
	// maxURL is how much of a URL is written. What archives have is far shorter.
	maxURL = 2 << 10
	// maxAccessFile is the size at which a file is renamed and begun anew, if nothing else
	// rotates it: 5 million requests.
	maxAccessFile = 1 << 30
	// olderSuffix ends the name of the file before that one.
	olderSuffix = ".1"
)

// Request is a line of the access log: a request for a file, or a tunnel, that is over.
type Request struct {
	Time   time.Time `json:"time"`             // when it came
	Client string    `json:"client,omitempty"` // its address; none where MILLPOND_PRIVACY says so
	Method string    `json:"method"`
	URL    string    `json:"url"`    // of the file, where its archive has it; of a tunnel host:port
	Status int       `json:"status"` // HTTP status that was sent; 0 if none was
	// Outcome is what became of it: hit (held), miss (fetched), stale (held, and the mirror
	// could not be asked), absent (the mirror has no such file), redirect, refused, failed,
	// left (the client did, before the end) or tunnel.
	Outcome   string  `json:"outcome"`
	Source    string  `json:"source,omitempty"` // of the bytes: store, peers, mirror or mixed
	Bytes     int64   `json:"bytes"`            // of the body that were sent; of a tunnel both ways
	FirstByte float64 `json:"first_byte_ms"`    // from the request to its answer's first byte
	Duration  float64 `json:"duration_ms"`      // from the request to its end
}

// AccessOptions say where an access log goes.
type AccessOptions struct {
	File      string    // is appended to; "" for Out
	Out       io.Writer // nobody closes it
	Anonymous bool      // no line has a client
	Log       *slog.Logger
}

// Access is an access log. A request never waits for it: its line is put into a buffer,
// and Run writes. When the buffer is full, lines are dropped, first those of whoever has
// the most in it; a line {"time":…,"dropped":…} and the log say how many were.
type Access struct {
	o     AccessOptions
	limit int   // maxUnwritten, but for tests
	most  int64 // maxAccessFile, but for tests
	wake  chan struct{}
	again chan struct{} // asks Run to open the file again

	out  io.Writer
	file *os.File // nil without one
	size int64    // of the file
	torn bool     // the last write ended within a line
	lost int      // lines since a write failed; -1: the last one did not

	mu      sync.Mutex // guards all below
	lines   []byte
	held    map[netip.Prefix]int // how much of lines is of each party
	dropped int64
}

// OpenAccess opens an access log. Run must be called, and Close.
func OpenAccess(o AccessOptions) (*Access, error) {
	a := &Access{
		o: o, limit: maxUnwritten, most: maxAccessFile, wake: make(chan struct{}, 1), again: make(chan struct{}, 1),
		out: o.Out, held: make(map[netip.Prefix]int), lost: -1,
	}
	if o.File == "" {
		return a, nil
	}
	return a, a.open()
}

// open opens the file, in place of the one that is open.
func (a *Access) open() error {
	// Before it is opened: to open a named pipe that nobody reads waits for a reader.
	if info, err := os.Stat(a.o.File); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", a.o.File)
	}
	f, err := os.OpenFile(a.o.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if a.file != nil {
		a.file.Close() // it was only written to, and each write has told its error
	}
	a.file, a.out, a.size, a.torn = f, f, info.Size(), false
	return nil
}

// Reopen has the file opened again, which has another name by now.
func (a *Access) Reopen() { signal(a.again) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Add adds the line of a request by a party. It does not block.
func (a *Access) Add(r Request, by netip.Prefix) {
	if a.o.Anonymous {
		r.Client = ""
	}
	r.URL = hide(r.URL)
	if len(r.URL) > maxURL {
		r.URL = r.URL[:maxURL] + "…"
	}
	if len(r.Method) > maxURL {
		r.Method = r.Method[:maxURL] + "…"
	}
	r.Time = r.Time.UTC().Truncate(time.Microsecond)
	line, err := json.Marshal(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil || !a.hasRoom(len(line)+1, by) {
		a.dropped++
	} else {
		a.lines = append(append(a.lines, line...), '\n')
		a.held[by] += len(line) + 1
	}
	signal(a.wake)
}

// hasRoom reports whether n more bytes of a party may wait: all that there is room for in
// the first half, and in the other one as long as the party has no more than an equal
// share. The caller holds mu.
func (a *Access) hasRoom(n int, by netip.Prefix) bool {
	if len(a.lines)+n <= a.limit/2 {
		return true
	}
	parties := len(a.held)
	if a.held[by] == 0 {
		parties++
	}
	return len(a.lines)+n <= a.limit && a.held[by]+n <= a.limit/parties
}

// Run writes until ctx ends, and then what there is left. It returns nil.
func (a *Access) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			a.write()
			return nil
		case <-a.again:
			a.write() // to the file under its old name
			if err := a.reopen(); err != nil {
				a.o.Log.Warn("access log not opened again, lines still go where they went", "file", a.o.File, "err", err)
			}
		case <-a.wake:
			a.write()
		}
	}
}

func (a *Access) reopen() error {
	if a.o.File == "" {
		return nil
	}
	return a.open()
}

// Close writes what Run left, and closes the file.
func (a *Access) Close() error {
	a.write()
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

// write writes all lines that wait.
func (a *Access) write() {
	a.mu.Lock()
	lines, dropped := a.lines, a.dropped
	a.lines, a.dropped = nil, 0
	clear(a.held)
	a.mu.Unlock()
	if dropped > 0 {
		lines = fmt.Appendf(lines, "{\"time\":%q,\"dropped\":%d}\n", time.Now().UTC().Format(time.RFC3339Nano), dropped)
		a.o.Log.Warn("access log: lines dropped, they are not written as fast as requests come", "lines", dropped)
	}
	if len(lines) == 0 {
		return
	}
	if a.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := a.out.Write(lines)
	a.size += int64(n)
	a.torn = n > 0 && lines[n-1] != '\n' || n == 0 && a.torn
	a.tell(err, lostIn(lines[n:]))
	if a.file != nil && a.size >= a.most {
		a.rotate()
	}
}

// tell logs that a write failed, and when the next one does not. On a full disk each
// request would be a line of the log otherwise.
func (a *Access) tell(err error, lost int) {
	switch {
	case err != nil && a.lost < 0:
		a.lost = lost
		a.o.Log.Warn("access log not written", "file", a.o.File, "lost", lost, "err", err)
	case err != nil:
		a.lost += lost
	case a.lost >= 0:
		a.o.Log.Warn("access log written again, lines are missing", "file", a.o.File, "lost", a.lost)
		a.lost = -1
	}
}

// lostIn counts the lines that were not written, or not to their end.
func lostIn(rest []byte) (n int) {
	for _, b := range rest {
		if b == '\n' {
			n++
		}
	}
	return n
}

// rotate renames a file that nothing else rotates, and begins a new one.
func (a *Access) rotate() {
	err := os.Rename(a.o.File, a.o.File+olderSuffix)
	if err == nil {
		err = a.open()
	}
	if err != nil {
		a.size = 0 // tried again after as much
		a.o.Log.Warn("access log not begun anew, it grows beyond its limit", "file", a.o.File, "limit", a.most, "err", err)
	}
}
