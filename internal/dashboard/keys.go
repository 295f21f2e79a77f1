package dashboard

import (
	"context"

	"millpond/internal/api"
	"millpond/internal/keyring"
)

// Bounds of one key's lists.
const (
	maxKeyUsers  = 16
	maxKeyFiles  = 16
	maxKeySuites = 100
)

// Keys are the archive keys; *keyring.Keyring.
type Keys interface{ Keys() []keyring.Key }

func (d *Dashboard) listKeys(_ context.Context, q *Window) (api.Page[api.Key], error) {
	signed := make(map[string][]string)
	for _, s := range d.catalog.Suites() {
		if s.Current.Signed && s.Signer != "" {
			signed[s.Signer] = append(signed[s.Signer], s.Location.String())
		}
	}
	cut := page(d.keys.Keys(), *q)
	answer := api.Page[api.Key]{Total: cut.Total, Offset: cut.Offset, Items: []api.Key{}}
	for _, k := range cut.Items {
		row := api.Key{
			Fingerprint: k.Fingerprint, Revoked: k.Revoked,
			Users: first(maxKeyUsers, k.Users), Files: first(maxKeyFiles, k.Files), Suites: first(maxKeySuites, signed[k.Fingerprint]),
		}
		if !k.Expires.IsZero() {
			row.Expires = &k.Expires
		}
		answer.Items = append(answer.Items, row)
	}
	return answer, nil
}

// first returns at most n of all, never nil.
func first(n int, all []string) []string { return append([]string{}, all[:min(n, len(all))]...) }
