package box

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// PlaceBlob writes a file of a blob beside those of a box that is stopped, as if its database
// had been lost: the box takes it in when it starts.
func (b *Box) PlaceBlob(content []byte) {
	b.tb.Helper()
	name := fmt.Sprintf("%x", sha256.Sum256(content))
	dir := filepath.Join(b.Data, "blobs", name[:2])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o444); err != nil {
		b.tb.Fatal(err)
	}
}
