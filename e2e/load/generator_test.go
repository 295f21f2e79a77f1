package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A generator is this test's program run again, as a process of its own: what the many
// clients cost is not taken from those that are measured.
const planVariable = "MILLPOND_TEST_LOAD"

// plan is what a generator does.
type plan struct {
	Server    string   // host:port
	Addresses []string // of the clients, in turn; any if there are none
	Idle      string   // a target that Idlers get once, and then keep their connections
	Idlers    int
	Targets   []string // that Readers get again and again, in turn
	Readers   int
	Rate      int64 // that each reads, in bytes a second; nothing if 0, as fast as possible if below
	Absent    string
	Seekers   int   // ask for Absent with a number appended, another one each time
	Names     int64 // how many such names there are
}

// report is what has come of a plan.
type report struct {
	Idle     int64 // connections that are idle
	Reading  int64 // readers that got the header of an answer
	Bytes    int64 // that readers got
	NotFound int64 // answers to seekers
	Errors   int64 // connections and answers that failed
	Last     string
}

// crew carries out a plan.
type crew struct {
	plan
	idle, reading, bytes, notFound, errors, next atomic.Int64
	last                                         atomic.Value // string
}

// generate carries out a plan until stdin ends. For each line of it, it writes a report.
func generate(text string) error {
	c := new(crew)
	if err := json.Unmarshal([]byte(text), &c.plan); err != nil {
		return err
	}
	for i := range c.Idlers {
		go c.attend(i, c.idler)
	}
	for i := range c.Readers {
		go c.attend(i, c.reader)
	}
	for i := range c.Seekers {
		go c.attend(i, c.seeker)
	}
	out, lines := json.NewEncoder(os.Stdout), bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		last, _ := c.last.Load().(string)
		if err := out.Encode(report{c.idle.Load(), c.reading.Load(), c.bytes.Load(), c.notFound.Load(), c.errors.Load(), last}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// attend has a client work on one connection after another until it has no more to do.
func (c *crew) attend(i int, work func(i int, conn *connection) error) {
	for {
		conn, err := c.dial(i)
		if err == nil {
			err = work(i, conn)
			conn.Close()
		}
		if err == nil {
			return
		}
		c.errors.Add(1)
		c.last.Store(err.Error())
		time.Sleep(100 * time.Millisecond) // not to flood a server that refuses
	}
}

// connection is one to the server, with a small window, as on a network with little
// delay.
type connection struct {
	net.Conn
	in *bufio.Reader
}

func (c *crew) dial(i int) (*connection, error) {
	d := net.Dialer{Timeout: time.Minute, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 128<<10)
		})
		if failed != nil {
			return failed
		}
		return err
	}}
	if len(c.Addresses) > 0 {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.Addresses[i%len(c.Addresses)])}
	}
	conn, err := d.Dial("tcp", c.Server)
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReaderSize(conn, 4<<10)}, nil
}

func (c *connection) get(target string) (*http.Response, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: mirror\r\n\r\n", target); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.in, nil)
}

func (c *crew) idler(_ int, conn *connection) error {
	resp, err := conn.get(c.Idle)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	c.idle.Add(1)
	defer c.idle.Add(-1)
	_, err = conn.in.ReadByte() // until the server ends the connection
	return err
}

func (c *crew) reader(i int, conn *connection) error {
	begun, read := time.Now(), int64(0)
	buf := make([]byte, 32<<10)
	for {
		resp, err := conn.get(c.Targets[i%len(c.Targets)])
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the answer is %s", resp.Status)
		}
		c.reading.Add(1)
		for err == nil {
			if c.Rate == 0 {
				select {} // it reads no more
			}
			var n int
			n, err = resp.Body.Read(buf[:c.part(len(buf))])
			read += int64(n)
			c.bytes.Add(int64(n))
			if c.Rate > 0 {
				time.Sleep(time.Until(begun.Add(time.Duration(float64(read) / float64(c.Rate) * 1e9)))) // a slow line
			}
		}
		c.reading.Add(-1)
		if err != io.EOF {
			return err
		}
	}
}

// part is how much a reader takes at a time: a fifth of a second's, at most.
func (c *crew) part(most int) int64 {
	if c.Rate < 0 {
		return int64(most)
	}
	return min(int64(most), max(1, c.Rate/5))
}

func (c *crew) seeker(_ int, conn *connection) error {
	for {
		n := c.next.Add(1)
		if n > c.Names {
			return nil
		}
		resp, err := conn.get(fmt.Sprintf("%s%d_1.0-1_all.deb", c.Absent, n))
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusNotFound {
			return fmt.Errorf("the answer to a request for an absent file is %s", resp.Status)
		}
		c.notFound.Add(1)
	}
}
