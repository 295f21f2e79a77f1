package account

import (
	"encoding/json"
	"maps"
	"slices"

	"millpond/internal/digest"
	"millpond/internal/kv"
)

// rowsAtOnce keeps a transaction far under the limit of kv.
const rowsAtOnce = 2000

// write writes the rows of files, or deletes them, and all else with the last ones.
func (a *Account) write(dirty map[digest.Digest]struct{}, rows map[digest.Digest]file, all sums) error {
	names := slices.Collect(maps.Keys(dirty))
	for {
		some := names[:min(len(names), rowsAtOnce)]
		names = names[len(some):]
		err := a.table.Update(func(tx *kv.Tx) error {
			if len(names) == 0 {
				if err := put(tx, sumsKey, all); err != nil {
					return err
				}
			}
			for _, d := range some {
				if err := putFile(tx, d, rows); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(names) == 0 {
			return err
		}
	}
}

func putFile(tx *kv.Tx, d digest.Digest, rows map[digest.Digest]file) error {
	if f, ok := rows[d]; ok {
		return put(tx, fileKey(d), f)
	}
	return tx.Delete([]byte(fileKey(d)))
}

func put(tx *kv.Tx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put([]byte(key), b)
}
