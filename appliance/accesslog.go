package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"millpond/internal/logs"
)

// accessLog says where the access log goes: "" nowhere, or standard output, or a file.
type accessLog string

// toStdout is an accessLog.
const toStdout accessLog = "-"

// parseAccessLog reads where the access log goes.
func parseAccessLog(s string) (accessLog, error) {
	switch s = strings.TrimSpace(s); {
	case s == "-", strings.EqualFold(s, "stdout"), s == "/dev/stdout":
		return toStdout, nil
	case isNo(s):
		return "", nil
	case !filepath.IsAbs(s):
		return "", fmt.Errorf("%.300q is neither - nor an absolute path", s)
	}
	return accessLog(filepath.Clean(s)), nil
}

// check refuses files that are in nobody's account: what is in the data directory counts
// against the cache.
func (l accessLog) check(dataDir string) error {
	dir, err := filepath.Abs(dataDir)
	if l == "" || l == toStdout || err != nil {
		return nil
	}
	if inside, err := filepath.Rel(dir, string(l)); err == nil && filepath.IsLocal(inside) {
		return errors.New("it is in MILLPOND_DATA_DIR, which has a limit of its own: name another directory")
	}
	return nil
}

// openAccessLog opens the access log, if there is to be one. Whoever is not to be in what
// the box keeps, or not with what was requested, is in no line.
func (a *Appliance) openAccessLog() error {
	to := a.config.AccessLog
	if to == "" {
		return nil
	}
	o := logs.AccessOptions{
		Anonymous: a.config.Privacy.NoClients || a.config.Privacy.NoPackagesPerClient, Log: a.log.With("part", "accesslog"),
	}
	if to == toStdout {
		o.Out = cmp.Or[io.Writer](a.config.stdout, os.Stdout)
	} else {
		o.File = string(to)
	}
	l, err := logs.OpenAccess(o)
	if err != nil {
		return fmt.Errorf("MILLPOND_ACCESS_LOG=%s: %s; name a file that the box's user may write, or - for standard output", to, plain(err))
	}
	a.accessLog = l
	a.opened(l.Close)
	return nil
}

// runAccessLog writes the access log.
func (a *Appliance) runAccessLog(ctx context.Context) error {
	if a.accessLog == nil {
		return nil
	}
	return a.accessLog.Run(ctx)
}
