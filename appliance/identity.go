package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"millpond/internal/api"
	"millpond/internal/disk"
	"millpond/internal/swarm"
)

// identityKey is the row of the box's identity key, in a table that is kept.
var identityKey = []byte("key")

// identityFile is where the identity key is.
func (c Config) identityFile() string {
	if c.IdentityFile != "" {
		return c.IdentityFile
	}
	return filepath.Join(c.DataDir, "identity.key")
}

// identityFaults tell of another box with the same identity key.
func (a *Appliance) identityFaults() []api.Fault {
	if a.swarm == nil {
		return nil
	}
	twin, ok := a.swarm.Twin()
	if !ok {
		return nil
	}
	return []api.Fault{{What: "identity", Why: fmt.Sprintf(
		"another box has the same identity key, as after a copy of its data or its machine, and others take the two for one; it was found %s, last at %s; stop one of the two, delete its identity key (here %s), and start it again",
		twin.Where, twin.Seen.UTC().Format(time.RFC3339), a.config.identityFile())}}
}

// keepIdentity keeps a copy of the identity key of file in the database, and writes the
// file from it if that is damaged. A file that was removed stays away: that is how to
// get a new identity.
func (a *Appliance) keepIdentity(file string) error {
	table := a.db.Table("identity")
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the identity key: %w", err)
	}
	copied, err := table.Get(identityKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	why := swarm.CheckIdentity(content)
	switch {
	case why == nil && bytes.Equal(content, copied):
		return nil
	case why == nil:
		return table.Put(identityKey, content)
	case copied == nil:
		return nil // swarm.New says what is wrong with it
	}
	a.log.Error("the identity key was damaged, and is written again from its copy", "file", file, "err", why)
	err = disk.Replace(file, func(w io.Writer) error {
		_, err := w.Write(copied)
		return err
	})
	if err != nil {
		return fmt.Errorf("restoring the identity key %s: %w", file, err)
	}
	return nil
}
