package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"millpond/internal/carry"
	"millpond/internal/catalog"
	"millpond/internal/dashboard"
	"millpond/internal/digest"
	"millpond/internal/follow"
)

// errInterrupted says that a command was interrupted, and what is left of it.
var errInterrupted = errors.New("interrupted; the same command goes on where this one ended")

// exportCommand writes what is held into a directory.
func exportCommand(ctx context.Context, c Config, i invocation) (err error) {
	p, err := park(ctx, c, "export", true, i.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.leave()) }()
	progress := showProgress(i.stderr, "Exported", nil)
	x := carry.Exporter{Store: p.store, Catalog: p.catalog, Meter: progress.Meter}
	report, err := x.Export(ctx, i.args[0], i.args[1:])
	progress.End()
	printExport(i.stdout, report, "Exported")
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// printExport writes what became of the files of a directory.
func printExport(w io.Writer, r *carry.Report, done string) {
	b := dashboard.FormatBytes
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%d files, %s; %d of them linked, %d share their blocks, the rest was copied\n", done, r.Taken, b(r.TakenBytes), r.Linked, r.Cloned)
	fmt.Fprintf(t, "There before\t%d files, %s\n", r.Held, b(r.HeldBytes))
	if r.Missing > 0 {
		fmt.Fprintf(t, "Not held\t%d files that the indices list\n", r.Missing)
	}
	for _, s := range r.Suites {
		fmt.Fprintf(t, "Suite\t%s\n", s)
	}
	printSkipped(t, r, "Left out")
	t.Flush()
}

// wantCommand writes what the box wants from outside.
func wantCommand(ctx context.Context, c Config, i invocation) (err error) {
	p, err := park(ctx, c, "want", true, i.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.leave()) }()
	list, err := p.wants(ctx)
	if err != nil {
		return err
	}
	if len(i.args) == 0 {
		return list.Write(i.stdout, time.Now())
	}
	if err := saveWantList(i.args[0], list); err != nil {
		return err
	}
	fmt.Fprintf(i.stdout, "%d suites and %d files are wanted.\n", len(list.Suites), len(list.Files))
	return nil
}

// saveWantList writes a want-list as the file name, whole or not at all.
func saveWantList(name string, list *carry.WantList) error {
	temp := name + ".new"
	f, err := os.Create(temp)
	if err != nil {
		return err
	}
	err = errors.Join(list.Write(f, time.Now()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		os.Remove(temp) // it is of no use
	}
	return err
}

// wants is what the box wants from outside.
func (p *parked) wants(ctx context.Context) (*carry.WantList, error) {
	missing, err := p.prefetch.Missing(ctx)
	if err != nil {
		return nil, err
	}
	suites, err := p.wishes.Suites(func(dir catalog.Location) bool {
		_, known := p.catalog.Generation(dir, digest.Digest{})
		return known
	})
	if err != nil {
		return nil, err
	}
	vain, err := p.wishes.Files(ctx, p.store)
	if err != nil {
		return nil, err
	}
	missing = append(missing, vain...)
	w := carry.Wants{Store: p.store, Catalog: p.catalog, Followed: followed(p.config.Follow), Packages: missing, New: suites}
	return w.List()
}

// followed are the suites of a setting, each with the indices that it names.
func followed(entries []follow.Entry) (all []carry.WantedSuite) {
	for _, e := range entries {
		var indices []string
		if e.Flat() {
			indices = []string{"Packages"}
		}
		for _, component := range e.Components {
			for _, arch := range append([]string{"all"}, e.Architectures...) {
				indices = append(indices, component+"/binary-"+arch+"/Packages")
			}
			if e.Sources {
				indices = append(indices, component+"/source/Sources")
			}
		}
		for _, dir := range e.Dirs() {
			all = append(all, carry.WantedSuite{Dir: dir, Indices: indices})
		}
	}
	return all
}

// fillCommand fetches what another box wants into a directory.
func fillCommand(ctx context.Context, c Config, i invocation) (err error) {
	f, err := os.Open(i.args[1])
	if err != nil {
		return fmt.Errorf("%w; `millpond want FILE` at the other box writes it", err)
	}
	list, err := carry.ReadWantList(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", i.args[1], err)
	}
	if c.Offline {
		return errors.New("MILLPOND_OFFLINE is set, and fill fetches from mirrors: run it at a box that has a network")
	}
	p, err := park(ctx, c, "fill", false, i.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.leave()) }()
	progress := showProgress(i.stderr, "Written", nil)
	filler := carry.Filler{Store: p.store, Catalog: p.catalog, Fetch: p.fetch, Meter: progress.Meter}
	report, err := filler.Fill(ctx, i.args[0], list)
	progress.End()
	printExport(i.stdout, report, "Written")
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}
