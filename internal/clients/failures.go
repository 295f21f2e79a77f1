package clients

import (
	"encoding/json"
	"fmt"
)

// maxFailedURLs bounds what FailedURLs returns.
const maxFailedURLs = 64 << 10

// FailedURLs returns what clients asked for in vain, each once, whoever it was.
func (n *Notes) FailedURLs() ([]string, error) {
	// As in Of.
	_ = n.Flush()
	seen := make(map[string]bool)
	var all []string
	err := n.table.Scan([]byte{kindFailure}, nil, func(_, value []byte) bool {
		var r row
		if json.Unmarshal(value, &r) == nil && r.Text != "" && !seen[r.Text] {
			seen[r.Text] = true
			all = append(all, r.Text)
		}
		return len(all) < maxFailedURLs
	})
	if err != nil {
		return nil, fmt.Errorf("reading what clients did not get: %w", err)
	}
	return all, nil
}
