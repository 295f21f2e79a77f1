package dashboard

import (
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
)

// Package is what GET /api/v1/packages/{name} returns.
type Package struct {
	Account
	Clients  []Asker `json:"clients"`  // that asked for it last; never null, at most 16, the latest first
	Versions []Blob  `json:"versions"` // files of it that are held; never null, at most 100
}

// Asker is a client that asked for a package.
type Asker struct {
	Name     string    `json:"name"`     // its address
	Hostname string    `json:"hostname"` // "" if it is not known
	Last     time.Time `json:"last"`
	Requests int64     `json:"requests"`
	Bytes    int64     `json:"bytes"`
}

// maxVersions bounds the files in an answer about a package: some versions of
// a source for several architectures.
const maxVersions = 100

func (d *Dashboard) packages(w http.ResponseWriter, r *http.Request) {
	d.accounts(w, r, "saved", d.realPackages)
}

// realPackages leaves out what is about no package, such as indices.
func (d *Dashboard) realPackages(after string) iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {
		for a, err := range d.Ledger.Packages(after) {
			if a.Name != ledger.NoPackage && !yield(a, err) {
				return
			}
		}
	}
}

// packageOf answers with what is known of one package: figures, who asked, and
// what is held.
func (d *Dashboard) packageOf(w http.ResponseWriter, r *http.Request) {
	name, err := url.PathUnescape(chi.URLParam(r, "name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := Package{Account: Account{Name: name}, Clients: []Asker{}, Versions: []Blob{}}
	account, askers, err := d.Ledger.Package(name)
	counted := err == nil
	if counted {
		answer.Account = accountOf(account)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.fail(w, err)
		return
	}
	for _, a := range askers {
		client := a.Client.String()
		answer.Clients = append(answer.Clients, Asker{client, d.names.of(client), a.Last, a.Requests, a.Bytes})
	}
	if answer.Versions, err = d.versions(name); err != nil {
		d.fail(w, err)
		return
	}
	if !counted && len(answer.Versions) == 0 {
		http.Error(w, "No client has asked for a package of this name, and none is held.", http.StatusNotFound)
		return
	}
	d.json(w, http.StatusOK, answer)
}

// versions are the files of a package that are held, in the order of their
// names.
func (d *Dashboard) versions(name string) ([]Blob, error) {
	all := []Blob{}
	for info, err := range d.Store.Named(name+"_", "") {
		if err != nil {
			return nil, err
		}
		if (catalog.Location{Path: "/" + info.Name}).Package() != name {
			continue
		}
		if all = append(all, d.blob(info)); len(all) == maxVersions {
			break
		}
	}
	return all, nil
}
