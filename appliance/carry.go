package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"millpond/internal/api"
	"millpond/internal/carry"
	"millpond/internal/dashboard"
	"millpond/internal/jobs"
)

// carryTable is where imports note which files they have hashed, and the box what clients
// asked for in vain.
const carryTable = "carry"

// errInterrupted says that a command was interrupted, and what is left of it.
var errInterrupted = errors.New("interrupted; the same command goes on where this one ended")

// openCarrier opens what imports, exports and fills media.
func (a *Appliance) openCarrier() {
	a.carrier = carry.NewService(carry.Options{
		Store: a.store, Catalog: a.catalog, Fetch: a.fetch, Journal: a.db.Table(carryTable), Jobs: &a.jobs,
		Data: a.config.DataDir, Offline: a.config.Offline, Log: a.log.With("part", "carry"),
	})
}

// importCommand imports directories.
func importCommand(ctx context.Context, c Config, i invocation) error {
	as := i.options["as"]
	if as != "" {
		if _, err := carry.ParseBase(as); err != nil {
			return wrongUsage("--as: %w", err)
		}
	}
	return carryCommand(ctx, c, i, carry.Request{Kind: jobs.Import, Dirs: i.args, As: as})
}

// exportCommand writes what is held into a directory.
func exportCommand(ctx context.Context, c Config, i invocation) error {
	return carryCommand(ctx, c, i, carry.Request{Kind: jobs.Export, Dirs: i.args[:1], Suites: i.args[1:]})
}

// fillCommand fetches what another box wants into a directory.
func fillCommand(ctx context.Context, c Config, i invocation) error {
	f, err := os.Open(i.args[1])
	if err != nil {
		return fmt.Errorf("%w; `millpond want FILE` at the other box writes it", err)
	}
	list, err := carry.ReadWantList(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", i.args[1], err)
	}
	return carryCommand(ctx, c, i, carry.Request{Kind: jobs.Fill, Dirs: i.args[:1], List: list})
}

// did is what a command says that it has done with files.
var did = map[jobs.Kind]string{jobs.Import: "Imported", jobs.Export: "Exported", jobs.Fill: "Written"}

// carryCommand has the running box do what is requested; without one it does so itself, in
// the data directory.
func carryCommand(ctx context.Context, c Config, i invocation, r carry.Request) (err error) {
	if r.Dirs, err = absolute(c, r.Dirs); err != nil {
		return err
	}
	var v api.Carry
	switch noBox := boxOf(c).away(ctx); {
	case noBox != nil && c.box == nil:
		v, err = carryOnDisk(ctx, c, i, r, noBox)
	default:
		v, err = carryInBox(ctx, c, i, r)
	}
	if err != nil {
		return err
	}
	if i.json {
		err = i.printJSON(v)
	} else {
		printCarried(i.stdout, r.Kind, v)
	}
	switch {
	case err != nil:
		return err
	case v.Error != "":
		return errors.New(shownText(v.Error))
	case v.Stopped:
		return errInterrupted
	}
	return nil
}

// absolute returns the paths of directories from /: another process may read them.
func absolute(c Config, dirs []string) (all []string, err error) {
	for _, dir := range dirs {
		if c.box != nil && !filepath.IsAbs(dir) {
			return nil, wrongUsage("%q: with --box a directory is one of the box's machine; give its path from /", dir)
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
		all = append(all, dir)
	}
	return all, nil
}

// carryInBox has the box do it.
func carryInBox(ctx context.Context, c Config, i invocation, r carry.Request) (api.Carry, error) {
	t := task[api.Carry]{
		path: string(r.Kind), did: did[r.Kind], what: "the " + string(r.Kind), goes: "run the command again to go on",
		of: func(v api.Carry) taskState { return taskState{v.Running, v.Began, v.Job} },
	}
	switch r.Kind {
	case jobs.Import:
		return t.do(ctx, c, i, api.ImportRequest{Dirs: r.Dirs, As: r.As})
	case jobs.Export:
		return t.do(ctx, c, i, api.ExportRequest{Dir: r.Dirs[0], Suites: r.Suites})
	default:
		var text bytes.Buffer
		if err := r.List.Write(&text, time.Now()); err != nil {
			return api.Carry{}, err
		}
		return t.do(ctx, c, i, api.FillRequest{Dir: r.Dirs[0], List: text.String()})
	}
}

// carryOnDisk does it in the data directory, on which no box runs. noBox says why none was
// asked.
func carryOnDisk(ctx context.Context, c Config, i invocation, r carry.Request, noBox error) (v api.Carry, err error) {
	p, err := park(ctx, c, r.Kind != jobs.Fill, noBox, i.stderr)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, p.leave()) }()
	progress := showProgress(i.stderr, did[r.Kind], nil)
	report, err := p.carrier.Do(ctx, r, progress.Meter)
	progress.End()
	s := carry.State{Report: report}
	switch {
	case ctx.Err() != nil:
		s.Stopped = true
	case err != nil:
		s.Error = err.Error()
	}
	return dashboard.CarryOf(r.Kind, s), nil
}

// printCarried writes what became of the files of an import, export or fill.
func printCarried(w io.Writer, kind jobs.Kind, v api.Carry) {
	b := dashboard.FormatBytes
	there, skipped := "There before", "Left out"
	if kind == jobs.Import {
		there, skipped = "Held before", "Not imported"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%d files, %s; %d of them linked, %d share their blocks, the rest was copied\n", did[kind], v.Taken, b(v.TakenBytes), v.Linked, v.Cloned)
	fmt.Fprintf(t, "%s\t%d files, %s\n", there, v.Held, b(v.HeldBytes))
	if v.Missing > 0 {
		fmt.Fprintf(t, "Not held\t%d files that the indices list\n", v.Missing)
	}
	for _, s := range v.Suites {
		fmt.Fprintf(t, "Suite\t%s\n", shownText(s))
	}
	if v.Unlisted > 0 {
		fmt.Fprintf(t, "Unlisted\t%d of the files imported: no signed index that the box has lists them yet, and they give way first\n", v.Unlisted)
	}
	for _, s := range v.Skipped {
		fmt.Fprintf(t, "%s\t%d: %s\n", skipped, s.Files, shownText(s.Reason))
		for _, e := range s.Examples {
			fmt.Fprintf(t, "\t  %s\n", shownText(e))
		}
		if more := s.Files - int64(len(s.Examples)); more > 0 {
			fmt.Fprintf(t, "\t  and %d more\n", more)
		}
	}
	t.Flush()
}
