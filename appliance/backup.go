package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"millpond/internal/backup"
	"millpond/internal/dashboard"
	"millpond/internal/disk"
	"millpond/internal/fetch"
	"millpond/internal/jobs"
	"millpond/internal/kv"
	"millpond/internal/siteledger"
	"millpond/internal/store"
	"millpond/internal/swarm"
)

// backedUp are the rows that a backup has: those that are kept beside the database, but
// for what it knows of logins, and what people would miss: events, what is known of
// clients, and what was set on the page.
var backedUp = []kv.Kept{
	{Table: "identity"},
	{Table: "ledger"},
	{Table: "daily"},
	{Datastore: "swarm", Rows: swarm.Kept},
	{Table: "rings"},
	{Table: "site", Rows: siteledger.Kept},
	{Table: "dashboard"},
	{Table: eventsTable},
	{Table: notesTable},
	{Table: "prefetch"},
	{Table: "store", Rows: store.Pinned},
	{Table: "names", Rows: fetch.ForBackup},
	{Table: "store", Rows: store.Known},
}

// backup calls use with a backup of so many bytes, as all is at one moment.
func (a *Appliance) backup(use func(size int64, write func(io.Writer) error) error) error {
	m, end, err := a.jobs.Begin(jobs.Backup)
	if err != nil {
		return err
	}
	defer end()
	if err := errors.Join(a.ledger.Flush(), a.notes.Flush(), a.events.Flush(), a.store.Flush()); err != nil {
		return fmt.Errorf("writing the last changes: %w", err)
	}
	info := backup.Info{DataFormat: dataFormat, Version: version, Made: time.Now()}
	files := []backup.File{backup.Content(backup.Settings, a.config.settingsFile())}
	key, err := os.ReadFile(a.config.identityFile())
	switch {
	case err == nil:
		files = append(files, backup.Content(backup.Identity, key))
	case !errors.Is(err, fs.ErrNotExist): // as without a swarm
		return fmt.Errorf("reading the identity key: %w", err)
	}
	return a.db.Snapshot(backedUp, func(size int64, rows func(io.Writer) error) error {
		files := append(files, backup.File{Name: backup.Rows, Size: size, Write: rows})
		total, err := backup.Size(info, files...)
		if err != nil {
			return err
		}
		m.Expect(jobs.Amount{Files: int64(len(files)), Bytes: total})
		return use(total, func(w io.Writer) error { return backup.Write(metered{w, m}, info, files...) })
	})
}

// metered tells a Meter what is written.
type metered struct {
	io.Writer
	m *jobs.Meter
}

func (w metered) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.m.Add(0, int64(n))
	return n, err
}

// settingsFile is the settings that were given, as a file of variables. Secrets are named
// and left out.
func (c *Config) settingsFile() []byte {
	var b strings.Builder
	for _, s := range c.shown() {
		switch {
		case !s.Set:
		case s.Value == "hidden":
			fmt.Fprintf(&b, "# %s is set; secrets are in no backup\n", s.Name)
		case strings.ContainsFunc(s.Value, func(r rune) bool { return r < ' ' }):
			fmt.Fprintf(&b, "%s=%s\n", s.Name, strconv.Quote(s.Value))
		default:
			fmt.Fprintf(&b, "%s=%s\n", s.Name, s.Value)
		}
	}
	return []byte(b.String())
}

// backupCommand writes a backup of the running box, or of a data directory on which none
// runs, to a file or to standard output.
func backupCommand(ctx context.Context, c Config, i invocation) error {
	if i.json {
		return wrongUsage("a backup is no JSON: leave out --json")
	}
	take := takeBackup
	if noBox := boxOf(c).away(ctx); noBox != nil && c.box == nil {
		take = func(ctx context.Context, c Config, i invocation, w io.Writer) error {
			return backupOnDisk(c, i, w, noBox)
		}
	}
	file := i.args[0]
	if file == "-" {
		return take(ctx, c, i, i.stdout)
	}
	err := disk.Replace(file, func(w io.Writer) error { return take(ctx, c, i, w) })
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(i.stdout, "%s is a backup of %s. It has the identity key of the box: keep it where others cannot read it.\n", file, dashboard.FormatBytes(info.Size()))
	return nil
}

// takeBackup writes a backup of the running box to w.
func takeBackup(ctx context.Context, c Config, i invocation, w io.Writer) error {
	if c.AdminToken == "" {
		return errNoToken(c)
	}
	at := boxOf(c)
	resp, err := at.ask(ctx, http.MethodPost, "/api/v1/backup", c.AdminToken, nil)
	if err != nil {
		return fmt.Errorf("%w%s", err, cureNoBox)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxReadiness))
		return cmp.Or(err, refusalOf(c, resp, answer, c.AdminToken))
	}
	p := showProgress(i.stderr, "Backed up", nil)
	defer p.End()
	p.Expect(jobs.Amount{Bytes: max(resp.ContentLength, 0)})
	if _, err := io.Copy(metered{w, p.Meter}, resp.Body); err != nil {
		return fmt.Errorf("the box at %v broke off its answer: %w", at, err)
	}
	return nil
}

// backupOnDisk writes a backup of the data directory. noBox says why no box was asked.
func backupOnDisk(c Config, i invocation, w io.Writer, noBox error) (err error) {
	a, err := openOnDisk(c, newLogger(c, i.stderr))
	if errors.Is(err, kv.ErrLocked) {
		return fmt.Errorf("%w, and yet one runs: %w", noBox, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	p := showProgress(i.stderr, "Backed up", nil)
	defer p.End()
	return a.backup(func(size int64, write func(io.Writer) error) error {
		p.Expect(jobs.Amount{Bytes: size})
		return write(metered{w, p.Meter})
	})
}
