package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"millpond/internal/carry"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/follow"
)

// wantCommand writes what the running box wants from outside, or with none running what
// the data directory says.
func wantCommand(ctx context.Context, c Config, i invocation) (err error) {
	if i.json {
		return wrongUsage("a want-list is no JSON: leave out --json")
	}
	var list *carry.WantList
	switch noBox := boxOf(c).away(ctx); {
	case noBox != nil && c.box == nil:
		list, err = wantedOnDisk(ctx, c, i, noBox)
	default:
		list, err = wantedByBox(ctx, c)
	}
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

// wantedByBox asks the box what it wants.
func wantedByBox(ctx context.Context, c Config) (*carry.WantList, error) {
	if c.AdminToken == "" {
		return nil, errNoToken(c)
	}
	resp, err := boxOf(c).ask(ctx, http.MethodGet, "/api/v1/want-list", c.AdminToken, nil)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, cureNoBox)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxReadiness))
		return nil, cmp.Or(err, refusalOf(c, resp, answer, c.AdminToken))
	}
	return carry.ReadWantList(resp.Body)
}

func wantedOnDisk(ctx context.Context, c Config, i invocation, noBox error) (list *carry.WantList, err error) {
	p, err := park(ctx, c, true, noBox, i.stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.leave()) }()
	return p.wants(ctx)
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
func (a *Appliance) wants(ctx context.Context) (*carry.WantList, error) {
	missing, err := a.prefetch.Missing(ctx)
	if err != nil {
		return nil, err
	}
	suites, err := a.wishes.Suites(func(dir catalog.Location) bool {
		_, known := a.catalog.Generation(dir, digest.Digest{})
		return known
	})
	if err != nil {
		return nil, err
	}
	vain, err := a.wishes.Files(ctx, a.store)
	if err != nil {
		return nil, err
	}
	missing = append(missing, vain...)
	w := carry.Wants{Store: a.store, Catalog: a.catalog, Followed: followed(a.config.Follow), Packages: missing, New: suites}
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
