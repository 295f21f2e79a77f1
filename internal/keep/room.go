package keep

import "fmt"

// What the catalog and Release files may take of the cache, and what clients use beside
// what is kept, needs room as well: three quarters may be kept.
const (
	keptOf    = 4
	keptParts = 3
)

// roomError says that what is to be kept does not fit.
type roomError struct {
	need, left, quota int64
}

func (e *roomError) Error() string {
	return fmt.Sprintf("the files to be kept need %d bytes, those of the present generations among them until they are replaced, "+
		"and a cache of %d bytes leaves %d for kept files: set MILLPOND_CACHE_SIZE to %d or more, or keep less",
		e.need, e.quota, e.left, e.quota+(e.need-e.left)*keptOf/keptParts)
}

// checkRoom returns a roomError if the files of all suites, those of a plan beside those
// of the generation that is complete, are more than may be pinned.
func (k *Keeper) checkRoom() error {
	var need int64
	for _, s := range k.suites {
		for r, err := range k.files.of(s.dir.String()) {
			if err != nil {
				return err
			}
			need += max(r.size, 0)
		}
	}
	u := k.store.Usage()
	left := min(u.QuotaBytes/keptOf*keptParts, u.QuotaBytes-u.Beside)
	if need > left {
		return &roomError{need, left, u.QuotaBytes}
	}
	return nil
}
