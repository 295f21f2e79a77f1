package front

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
)

const (
	// lookEvery is how often Watch reads the files, which are small.
	lookEvery = time.Second
	// maxCertificate is many times a chain of certificates and a key.
	maxCertificate = 1 << 20
)

// Certificate is the box's certificate, with its chain and key, as its files
// have it.
type Certificate struct {
	files   []string
	current atomic.Pointer[tls.Certificate]
	fault   atomic.Pointer[error] // why the files cannot be used; nil if they can

	seen, used digest.Digest // content at the last look, and when it was last used
}

// LoadCertificate reads files in PEM: one with everything, or one with the
// certificate and its chain, and one with the key.
func LoadCertificate(files ...string) (*Certificate, error) {
	text, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	c := &Certificate{files: files}
	c.seen, c.used = contentOf(text, nil), contentOf(text, nil)
	return c, c.use(text)
}

// readFiles returns the files one after the other.
func readFiles(files []string) (text []byte, err error) {
	for _, name := range files {
		part, err := disk.ReadFile(name, maxCertificate)
		if err != nil {
			return nil, err
		}
		text = append(append(text, part...), '\n')
	}
	return text, nil
}

// contentOf tells one result of readFiles from another.
func contentOf(text []byte, err error) digest.Digest {
	if err != nil {
		text = []byte(err.Error())
	}
	return digest.Of(text)
}

// use has what text says count from the next connection on.
func (c *Certificate) use(text []byte) error {
	pair, err := tls.X509KeyPair(text, text) // each takes the blocks that it needs
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(c.files, " and "), err)
	}
	c.current.Store(&pair)
	return nil
}

// Watch keeps c in step with its files until ctx ends; then it returns nil. It is
// called once. A change counts when two looks in a row have seen the same: of two
// files one is replaced before the other. Files that cannot be used leave the
// former certificate in force.
func (c *Certificate) Watch(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.look(log)
		}
	}
}

func (c *Certificate) look(log *slog.Logger) {
	text, err := readFiles(c.files)
	now := contentOf(text, err)
	settled := now == c.seen
	c.seen = now
	if !settled || now == c.used {
		return
	}
	c.used = now
	if err == nil {
		err = c.use(text)
	}
	if err != nil {
		c.fault.Store(&err)
		log.Warn("certificate unusable, the former one stays in force", "err", err)
		return
	}
	c.fault.Store(nil)
	leaf := c.current.Load().Leaf
	log.Info("certificate changed", "names", leaf.DNSNames, "expires", leaf.NotAfter)
}

// Err says what is wrong with the certificate, nil if nothing is.
func (c *Certificate) Err() error {
	if fault := c.fault.Load(); fault != nil {
		return fmt.Errorf("the former one stays in force: %w", *fault)
	}
	if until := c.current.Load().Leaf.NotAfter; time.Now().After(until) {
		return fmt.Errorf("expired on %s", until.Format(time.DateOnly))
	}
	return nil
}

// config is that of connections which have c. Before HTTP/2 a client has to ask
// for it.
func (c *Certificate) config(http2 bool) *tls.Config {
	protocols := []string{"http/1.1"}
	if http2 {
		protocols = []string{"h2", "http/1.1"}
	}
	return &tls.Config{
		NextProtos:     protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
