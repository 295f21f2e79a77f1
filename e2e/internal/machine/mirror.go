// Package machine knows the mirror that this machine's own apt uses, for tests
// and measurements against a real one. Its name is a matter of the machine and
// stands in no file of the project.
package machine

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// defaultKeyring is where Debian keeps the keys of its archive.
const defaultKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Mirror is a source of the machine's apt.
type Mirror struct {
	URI, Suite, Keyring string
}

// Configured returns the first http source in deb822 or one-line style.
func Configured() (Mirror, error) {
	files, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		return Mirror{}, err
	}
	for _, name := range files {
		m, err := readSources(name)
		if err != nil || m.URI != "" {
			return m, err
		}
	}
	list, err := os.ReadFile("/etc/apt/sources.list")
	if err != nil {
		return Mirror{}, fmt.Errorf("this machine's apt sources: %w", err)
	}
	m := regexp.MustCompile(`(?m)^deb (?:\[.*\] )?(http://\S+?)/? (\S+)`).FindSubmatch(list)
	if m == nil {
		return Mirror{}, fmt.Errorf("this machine's apt sources name no http mirror: %w", os.ErrNotExist)
	}
	return Mirror{URI: string(m[1]), Suite: string(m[2]), Keyring: defaultKeyring}, nil
}

// Answering returns the mirror of Configured if it sends its Release file.
func Answering() (Mirror, error) {
	m, err := Configured()
	if err != nil {
		return m, err
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Head(m.URI + "/dists/" + m.Suite + "/InRelease")
	if err != nil {
		return m, fmt.Errorf("this machine's apt mirror: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return m, fmt.Errorf("this machine's apt mirror: %s", resp.Status)
	}
	return m, nil
}

// readSources reads the first http source of a deb822-style file; its URI is
// empty if there is none.
func readSources(name string) (Mirror, error) {
	f, err := os.Open(name)
	if err != nil {
		return Mirror{}, err
	}
	defer f.Close()
	var m Mirror
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		first, _, _ := strings.Cut(value, " ")
		switch strings.ToLower(field) {
		case "uris":
			m.URI = strings.TrimRight(first, "/")
		case "suites":
			m.Suite = first
		case "signed-by":
			m.Keyring = value
		}
		if strings.HasPrefix(m.URI, "http://") && m.Suite != "" && m.Keyring != "" {
			return m, nil
		}
	}
	return Mirror{}, lines.Err()
}

// Host is the mirror's, to be allowed: it may have a private address.
func (m Mirror) Host() string {
	u, err := url.Parse(m.URI)
	if err != nil {
		return ""
	}
	return u.Host
}

// Source is a line for sources.list; kind is "deb" or "deb-src".
func (m Mirror) Source(kind string) string {
	return fmt.Sprintf("%s [signed-by=%s] %s %s main", kind, m.Keyring, m.URI, m.Suite)
}
