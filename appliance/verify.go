package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/dashboard"
	"millpond/internal/fetch"
	"millpond/internal/kv"
	"millpond/internal/store"
	"millpond/internal/verify"
)

// openVerifier opens what checks held files. again fetches what was damaged; without it,
// that waits for the next process.
func (a *Appliance) openVerifier(again verify.Fetcher) (err error) {
	names := a.db.Table("names")
	a.verifier, err = verify.Open(verify.Options{
		Table: a.db.Table("verify"), Store: a.store, Catalog: a.catalog, Fetch: again, Jobs: &a.jobs, Log: a.log.With("part", "verify"),
		Inside: func(s verify.Scope) (func(store.Info) bool, error) {
			return fetch.Inside(a.catalog, names, fetch.Scope(s))
		},
	})
	return err
}

// damaged is told of damaged blobs. The store is opened before what fetches them again.
func (a *Appliance) damaged(b store.Info) {
	if a.verifier != nil {
		a.verifier.Damaged(b)
	}
}

// againAhead fetches what was damaged as what no client waits for.
type againAhead struct{ *fetch.Fetcher }

var _ verify.Fetcher = againAhead{}

func (f againAhead) Again(ctx context.Context, e catalog.Entry) error {
	_, err := f.Ahead(ctx, e, nil)
	return err
}

// verifyCommand has the running box check held files; without one it does so itself.
func verifyCommand(ctx context.Context, c Config, i invocation) error {
	var v api.Verify
	var err error
	switch noBox := boxOf(c).away(ctx); {
	case noBox != nil && c.box == nil:
		v, err = verifyOnDisk(ctx, c, i, noBox)
	default:
		v, err = verifyInBox(ctx, c, i)
	}
	if err != nil {
		return err
	}
	if i.json {
		err = i.printJSON(v)
	} else {
		printVerify(i.stdout, v)
	}
	missing := v.Damaged - v.Fetched
	switch {
	case err != nil:
		return err
	case v.Error != "":
		return fmt.Errorf("the check could not go on: %s; run the command again to go on", shownText(v.Error))
	case v.Stopped:
		return errors.New("stopped; run the command again to go on")
	case missing > 0:
		return fmt.Errorf("%d damaged files are missing now; check the disk (MILLPOND_DATA_DIR of the box)", missing)
	case v.Unreadable > 0:
		return fmt.Errorf("%d files could not be read; check the disk (MILLPOND_DATA_DIR of the box)", v.Unreadable)
	}
	return nil
}

// verifyInBox has the box do it.
func verifyInBox(ctx context.Context, c Config, i invocation) (api.Verify, error) {
	var request api.VerifyRequest
	if len(i.args) > 0 {
		request.What = i.args[0]
	}
	t := task[api.Verify]{
		path: "verify", did: "Verified", what: "the check",
		goes: "the box goes on with the check, also after a restart, and `millpond verify` shows it again",
		of:   func(v api.Verify) taskState { return taskState{v.Running, v.Began, v.Job} },
	}
	return t.do(ctx, c, i, request)
}

// verifyOnDisk checks the files in the data directory, on which no box runs. noBox says
// why none was asked.
func verifyOnDisk(ctx context.Context, c Config, i invocation, noBox error) (v api.Verify, err error) {
	var scope fetch.Scope
	if len(i.args) > 0 {
		if scope, err = dashboard.ParseScope(i.args[0]); err != nil {
			return v, usageError{err}
		}
	}
	a, err := openOnDisk(c, newLogger(c, i.stderr))
	if errors.Is(err, kv.ErrLocked) {
		return v, fmt.Errorf("%w, and yet one runs: %w", noBox, err)
	}
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	if err := a.openVerifier(nil); err != nil {
		return v, err
	}
	p := showProgress(i.stderr, "Verified", nil)
	s, err := a.verifier.Check(ctx, verify.Scope(scope), p.Meter)
	p.End()
	return dashboard.VerifyOf(s), err
}

// openOnDisk opens the data directory of a box that does not run, and nothing else. The
// error wraps kv.ErrLocked if it does run.
func openOnDisk(c Config, log *slog.Logger) (*Appliance, error) {
	if err := checkFormat(c.DataDir); err != nil {
		return nil, dataFault(c.DataDir, err)
	}
	info, err := os.Stat(databaseDir(c.DataDir)) // opening would make one
	if err != nil {
		return nil, dataFault(c.DataDir, fmt.Errorf("no box has run here: %w", err))
	}
	if err := checkOwner(info); err != nil {
		return nil, dataFault(c.DataDir, err)
	}
	a := newAppliance(c, log)
	if err := a.open(a.openData); err != nil {
		return nil, err
	}
	return a, nil
}

func printVerify(w io.Writer, v api.Verify) {
	b := dashboard.FormatBytes
	of := ""
	if v.Host != "" {
		of = " of " + shownText(v.Host+v.Path)
	}
	fmt.Fprintf(w, "Hashed %d files%s, %s.\n", v.Files, of, b(v.Bytes))
	if v.Unreadable > 0 {
		fmt.Fprintf(w, "%d could not be read.\n", v.Unreadable)
	}
	if v.Damaged == 0 {
		fmt.Fprintln(w, "None was damaged.")
		return
	}
	fmt.Fprintf(w, "%d were damaged, %s, and removed:\n", v.Damaged, b(v.DamagedBytes))
	for _, n := range []struct {
		files int64
		text  string
	}{
		{v.Fetched, "fetched again"},
		{v.NotAvailable, "not available now; the box tries once an hour for a week"},
		{v.Waiting, "fetched later: when the box runs, or tomorrow, as there is a limit for a day"},
		{v.Unlisted, "listed by no signed Release; fetched when a client asks for them"},
	} {
		if n.files > 0 {
			fmt.Fprintf(w, "  %d %s\n", n.files, n.text)
		}
	}
	for _, f := range v.Found {
		why := ""
		if f.Why != "" {
			why = ": " + f.Why
		}
		fmt.Fprintf(w, "%s (%s): %s%s\n", shownText(cmp.Or(f.Name, f.Digest)), b(f.Size), shownText(f.Outcome), shownText(why))
	}
	if more := v.Damaged - int64(len(v.Found)); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
}
