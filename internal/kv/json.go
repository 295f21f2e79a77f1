package kv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// GetJSON reads the record under key, which PutJSON wrote; the zero value if
// there is none.
func GetJSON[T any](t *Table, key string) (T, error) {
	var v T
	b, err := t.Get([]byte(key))
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("record %q: %w", key, err)
	}
	return v, nil
}

// PutJSON keeps v under key.
func PutJSON(t *Table, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.Put([]byte(key), b)
}
