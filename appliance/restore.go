package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millpond/internal/backup"
	"millpond/internal/disk"
	"millpond/internal/kv"
	"millpond/internal/swarm"
)

// restoreCommand makes an empty data directory, or one that has blobs only, that of the
// box of which there is a backup.
func restoreCommand(c Config, i invocation) error {
	in, err := os.Open(i.args[0])
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := backup.Open(in)
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was changed", i.args[0], err)
	}
	if b.Info.DataFormat > dataFormat {
		return fmt.Errorf("%s: it is in format %d, of a later version of millpond (%.40q), and this one (%s) reads formats up to %d; restore it with the later version; nothing was changed",
			i.args[0], b.Info.DataFormat, b.Info.Version, version, dataFormat)
	}
	if err := checkUnused(c); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if err := checkDataDir(c.DataDir, log); err != nil {
		return dataFault(c.DataDir, err)
	}
	temp, err := os.MkdirTemp(c.DataDir, "restore-*")
	if err != nil {
		return dataFault(c.DataDir, err)
	}
	defer os.RemoveAll(temp)
	names, err := b.Extract(temp)
	if err == nil {
		err = checkExtracted(temp, names)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was changed", i.args[0], err)
	}
	if err := c.install(temp, names, b.Info.DataFormat, log); err != nil {
		return dataFault(c.DataDir, fmt.Errorf("restoring %s: %w", i.args[0], err))
	}
	return c.tellRestored(i.stdout, b.Info, slices.Contains(names, backup.Identity))
}

// checkUnused returns an error if a restore would take the place of something.
func checkUnused(c Config) error {
	if err := checkFormat(c.DataDir); err != nil {
		return dataFault(c.DataDir, err)
	}
	used, err := kv.Exists(databaseDir(c.DataDir))
	if err != nil {
		return dataFault(c.DataDir, err)
	}
	if used {
		return fmt.Errorf("a box has run on MILLPOND_DATA_DIR=%s, and a restore would replace its figures: name an empty directory, or move db and db.kept in it away first; blobs can stay; nothing was changed", c.DataDir)
	}
	if _, err := os.Lstat(c.identityFile()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is an identity key in %s, which a restore would replace: move it away first; nothing was changed", c.identityFile())
	}
	return nil
}

// checkExtracted checks the files of a backup beyond their sums. Those with rows are
// checked as they are taken over.
func checkExtracted(dir string, names []string) error {
	if !slices.Contains(names, backup.Rows) {
		return errors.New("it has no " + backup.Rows)
	}
	if !slices.Contains(names, backup.Identity) {
		return nil
	}
	key, err := os.ReadFile(filepath.Join(dir, backup.Identity))
	if err == nil {
		err = swarm.CheckIdentity(key)
	}
	if err != nil {
		return fmt.Errorf("%s in it: %w", backup.Identity, err)
	}
	return nil
}

// install puts the files of a backup where a box has them. The database comes last: if the
// machine stops before, the box itself begins with the rows beside it.
func (c Config) install(temp string, names []string, format int, log *slog.Logger) error {
	for name, to := range map[string]string{backup.Identity: c.identityFile(), backup.Settings: c.restoredSettings()} {
		if !slices.Contains(names, name) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(temp, name))
		if err != nil {
			return err
		}
		err = disk.Replace(to, func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := writeFormat(c.DataDir, format); err != nil {
		return err
	}
	if err := kv.Restore(databaseDir(c.DataDir), filepath.Join(temp, backup.Rows), backedUp); err != nil {
		return err
	}
	db, err := openDatabase(c.DataDir, log)
	if err != nil {
		return err
	}
	return db.Close()
}

// restoredSettings is the file of the settings that the box had.
func (c Config) restoredSettings() string {
	return filepath.Join(c.DataDir, "restored-"+backup.Settings)
}

func (c Config) tellRestored(w io.Writer, info backup.Info, identity bool) error {
	fmt.Fprintf(w, "MILLPOND_DATA_DIR=%s is that of the box as it was at %s.\n", c.DataDir, info.Made.Local().Format(time.DateTime))
	if identity {
		fmt.Fprintln(w, "It has the identity of that box: never start the two at the same time.")
	}
	settings, err := os.ReadFile(c.restoredSettings())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	fmt.Fprintf(w, "The settings of that box are in %s; a box does not read that file. Set what you want of them, and the secrets:\n", c.restoredSettings())
	for line := range strings.Lines(string(settings)) {
		fmt.Fprintf(w, "  %s\n", shownText(strings.TrimRight(line, "\n")))
	}
	return err
}
