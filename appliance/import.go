package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"millpond/internal/carry"
	"millpond/internal/dashboard"
)

// importCommand imports directories into the data directory.
func importCommand(ctx context.Context, c Config, i invocation) (err error) {
	if as := i.options["as"]; as != "" {
		if _, err := carry.ParseBase(as); err != nil {
			return wrongUsage("--as: %w", err)
		}
	}
	p, err := park(ctx, c, "import", true, i.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.leave()) }()
	progress := showProgress(i.stderr, "Imported", nil)
	im := carry.Importer{Store: p.store, Catalog: p.catalog, Releases: p.fetch, Journal: p.db.Table(carryTable), Meter: progress.Meter}
	report, err := im.Import(ctx, carry.Import{Dirs: i.args, As: i.options["as"]})
	progress.End()
	printImport(i.stdout, report)
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// carryTable is where imports note which files they have hashed.
const carryTable = "carry"

// printImport writes what became of the files of an import.
func printImport(w io.Writer, r *carry.Report) {
	b := dashboard.FormatBytes
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "Imported\t%d files, %s; %d of them linked, %d share their blocks, the rest was copied\n", r.Taken, b(r.TakenBytes), r.Linked, r.Cloned)
	fmt.Fprintf(t, "Held before\t%d files, %s\n", r.Held, b(r.HeldBytes))
	for _, s := range r.Suites {
		fmt.Fprintf(t, "Suite\t%s\n", s)
	}
	if r.Unlisted > 0 {
		fmt.Fprintf(t, "Unlisted\t%d of the files imported: no signed index that the box has lists them yet, and they give way first\n", r.Unlisted)
	}
	printSkipped(t, r, "Not imported")
	t.Flush()
}

// printSkipped writes what was left out and why.
func printSkipped(w io.Writer, r *carry.Report, done string) {
	for _, s := range r.Skipped() {
		fmt.Fprintf(w, "%s\t%d: %s\n", done, s.Files, s.Reason)
		for _, e := range s.Examples {
			fmt.Fprintf(w, "\t  %s\n", shownText(e))
		}
		if more := s.Files - int64(len(s.Examples)); more > 0 {
			fmt.Fprintf(w, "\t  and %d more\n", more)
		}
	}
}
