package dashboard

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"millpond/internal/api"
	"millpond/internal/clients"
	"millpond/internal/deb"
)

// maxUpdates is how many pending updates an answer lists.
const maxUpdates = 200

// packageKey is a package of one architecture.
type packageKey struct{ name, architecture, kind string }

// pendingUpdates compares what a client got with what it would get now. It reads the
// indices of all suites that the client uses: one request at a time.
func (d *Dashboard) pendingUpdates(ctx context.Context, has []clients.Package, suites map[laneOf]present) (first []api.ClientUpdate, total int, err error) {
	all := make(map[packageKey]*api.ClientUpdate, len(has))
	for _, p := range has {
		if p.Version != "" {
			all[packageKey{p.Name, p.Architecture, p.Type}] = &api.ClientUpdate{Name: p.Name, Architecture: p.Architecture, Has: p.Version}
		}
	}
	if len(all) > 0 {
		d.comparing.Lock()
		defer d.comparing.Unlock()
		for lane, now := range suites {
			if err := d.compare(ctx, all, lane, now); err != nil {
				return nil, 0, err
			}
		}
	}
	first = []api.ClientUpdate{}
	for _, u := range all {
		if u.Version != "" {
			first = append(first, *u)
		}
	}
	slices.SortFunc(first, func(a, b api.ClientUpdate) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Architecture, b.Architecture), strings.Compare(a.Version, b.Version))
	})
	return first[:min(len(first), maxUpdates)], len(first), nil
}

// compare notes the newer versions that a suite has. Versions are those of the files'
// names, without epoch.
func (d *Dashboard) compare(ctx context.Context, all map[packageKey]*api.ClientUpdate, lane laneOf, now present) error {
	suite := suiteName(lane.suite)
	for e, err := range d.catalog.PackagesOf(lane.suite, now.id) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name := e.Location.Name()
		f, ok := deb.ParseFileName(name)
		if !ok {
			continue
		}
		u := all[packageKey{f.Package, f.Architecture, f.Type}]
		if u == nil || !offers(suite, u.Has) || deb.CompareVersions(f.Version, cmp.Or(u.Version, u.Has)) <= 0 {
			continue
		}
		u.Version, u.Suite = f.Version, lane.suite.String()
	}
	return nil
}

// offers reports whether apt would take an update from a suite without being told to.
// Those that it would not (NotAutomatic in their Release) go by these names at Debian and
// Ubuntu; only what was taken from backports once is updated from there
// (ButAutomaticUpgrades), and its version shows it.
func offers(suite, has string) bool {
	switch {
	case strings.Contains(suite, "-backports"):
		return strings.Contains(has, "~bpo")
	case suite == "experimental", suite == "rc-buggy", strings.HasSuffix(suite, "-proposed"), strings.HasSuffix(suite, "-proposed-updates"):
		return false
	}
	return true
}
