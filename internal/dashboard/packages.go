package dashboard

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/http"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// maxVersions bounds the files in an answer about a package: some versions of
// a source for several architectures.
const maxVersions = 100

func (d *Dashboard) listPackages(_ context.Context, q *accountQuery) (api.Page[api.Account], error) {
	return d.accounts(q, "saved", d.realPackages())
}

// realPackages leaves out what is of no package, such as indices.
func (d *Dashboard) realPackages() iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {
		for a, err := range d.ledger.Packages("") {
			if a.Name != ledger.NoPackage && !yield(a, err) {
				return
			}
		}
	}
}

// onPackage names a package.
type onPackage struct {
	Name string `path:"name" doc:"of a binary package, or of a source"`
}

// getPackage returns what is known of one package: figures, the clients that
// requested it, and what is held.
func (d *Dashboard) getPackage(_ context.Context, in *onPackage) (api.Package, error) {
	answer := api.Package{Account: api.Account{Name: in.Name}, Clients: []api.PackageClient{}, Versions: []api.Blob{}}
	account, clients, err := d.ledger.Package(in.Name)
	counted := err == nil
	if counted {
		answer.Account = accountOf(account)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return answer, err
	}
	for _, c := range clients {
		name := c.Client.String()
		answer.Clients = append(answer.Clients, api.PackageClient{
			Name: name, Hostname: d.names.Of(name), GivenName: d.clientName(name), Last: c.Last, Requests: c.Requests, Bytes: c.Bytes,
		})
	}
	if answer.Versions, err = d.versions(in.Name); err != nil {
		return answer, err
	}
	if !counted && len(answer.Versions) == 0 {
		return answer, problem(http.StatusNotFound, "No client has asked for a package of this name, and none is held.")
	}
	return answer, nil
}

// versions are the files of a package that are held, in the order of their
// names.
func (d *Dashboard) versions(name string) ([]api.Blob, error) {
	all := []api.Blob{}
	for info, err := range d.store.Named(name+"_", "") {
		if err != nil {
			return nil, err
		}
		if packageOf(info.Name) != name {
			continue
		}
		if all = append(all, d.blob(info)); len(all) == maxVersions {
			break
		}
	}
	return all, nil
}
