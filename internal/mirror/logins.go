package mirror

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Bounds of a file of logins. apt's own have some lines.
const (
	// MaxLogins is the longest file of logins taken, in bytes.
	MaxLogins  = 1 << 20
	maxEntries = 4096
)

// Logins are the box's own, in the order of their file. The zero value has none.
type Logins struct{ entries []entry }

// entry is a login and what it is for.
type entry struct {
	scheme string // "" is https
	host   string // a hostKey
	port   int    // 0 is any
	path   string // what the URL's path begins with; "" is any
	login  Login
}

// ParseLogins reads logins in the format of apt_auth.conf(5): "machine
// [protocol://]host[:port][/path] login NAME password WORD", in as many lines
// as one likes, and comments in lines that begin with #. As in apt, an entry
// without a protocol is for https alone, a path is for all that begin with it,
// the first entry that matches counts, and unknown words are ignored. An error
// names a line and no password.
func ParseLogins(text string) (Logins, error) {
	if len(text) > MaxLogins {
		return Logins{}, fmt.Errorf("longer than %d bytes", MaxLogins)
	}
	p := loginParser{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if err := p.word(word, number); err != nil {
				return Logins{}, fmt.Errorf("line %d: %w", number, err)
			}
		}
	}
	if err := p.finish(); err != nil {
		return Logins{}, err
	}
	if len(p.all) > maxEntries {
		return Logins{}, fmt.Errorf("more than %d entries", maxEntries)
	}
	return Logins{p.all}, nil
}

// loginParser reads a file of logins word by word.
type loginParser struct {
	all            []entry
	open           bool // an entry is being read
	at             int  // line of its machine
	next           entry
	user, password string
	expect         string // the word before, if it takes the next one
}

// word takes the next word, of the line with that number.
func (p *loginParser) word(word string, line int) error {
	expect := p.expect
	p.expect = ""
	switch expect {
	case "machine":
		var err error
		p.next, err = parseMachine(word)
		return err
	case "login":
		p.user = word
		return nil
	case "password":
		p.password = word
		return nil
	}
	switch {
	case word == "machine":
		if err := p.finish(); err != nil {
			return err
		}
		p.open, p.at = true, line
		p.expect = word
	case (word == "login" || word == "password") && p.open:
		p.expect = word
	}
	return nil
}

// finish ends the entry that is being read.
func (p *loginParser) finish() error {
	switch {
	case p.expect != "":
		return fmt.Errorf("entry of line %d: nothing follows the word %s", p.at, p.expect)
	case !p.open:
		return nil
	case p.user == "" && p.password == "":
		return fmt.Errorf("entry of line %d: neither login nor password", p.at)
	}
	p.next.login = Basic(p.user, p.password)
	p.all = append(p.all, p.next)
	*p = loginParser{all: p.all}
	return nil
}

// parseMachine reads [protocol://]host[:port][/path]. Its error does not repeat
// the word, which is a password where a word is missing before it.
func parseMachine(word string) (entry, error) {
	var e entry
	if scheme, rest, ok := strings.Cut(word, "://"); ok {
		if e.scheme, word = strings.ToLower(scheme), rest; e.scheme != "http" && e.scheme != "https" {
			return entry{}, errors.New("the protocol of a machine is neither http nor https")
		}
	}
	hostport := word
	if i := strings.IndexByte(word, '/'); i >= 0 {
		hostport, e.path = word[:i], word[i:]
	}
	var err error
	if e.host, e.port, err = parseHost(hostport); err != nil {
		return entry{}, fmt.Errorf("host after the word machine: %w", err)
	}
	return e, nil
}

// match returns the first login for u, "" if there is none.
func (l Logins) match(u *url.URL) Login {
	if len(l.entries) == 0 {
		return ""
	}
	host, port, err := destinationOf(u)
	if err != nil {
		return ""
	}
	host = hostKey(host)
	for _, e := range l.entries {
		if e.matches(u, host, port) {
			return e.login
		}
	}
	return ""
}

// matches reports whether e is for u, whose destination is host, a hostKey, and
// port.
func (e entry) matches(u *url.URL, host string, port int) bool {
	scheme := e.scheme
	if scheme == "" {
		scheme = "https"
	}
	return scheme == u.Scheme && e.host == host && (e.port == 0 || e.port == port) && strings.HasPrefix(u.Path, e.path)
}

// String implements fmt.Stringer.
func (l Logins) String() string { return strconv.Itoa(len(l.entries)) + " logins" }
