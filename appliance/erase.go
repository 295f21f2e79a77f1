package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"

	"millpond/internal/api"
	"millpond/internal/clients"
	"millpond/internal/dashboard"
	"millpond/internal/kv"
	"millpond/internal/ledger"
	"millpond/internal/siteledger"
)

// eraseCommand erases a client from the box on this machine: in its data directory
// if none runs on it, else through its API.
func eraseCommand(ctx context.Context, c Config, address string, stdout, stderr io.Writer) error {
	client, err := netip.ParseAddr(address)
	if err != nil {
		return fmt.Errorf("%q is not the address of a client, such as 10.1.2.3 or fd00::1", address)
	}
	client = client.Unmap().WithZone("")
	where := "MILLPOND_DATA_DIR=" + c.DataDir
	known, err := eraseOnDisk(c, client, stderr)
	if errors.Is(err, kv.ErrLocked) {
		where = "the running box"
		known, err = eraseThroughAPI(ctx, c, client)
	}
	if err != nil {
		return err
	}
	if known {
		fmt.Fprintf(stdout, "Erased from %s; its bytes and requests still count in the totals.\n", where)
	} else {
		fmt.Fprintf(stdout, "Nothing was kept about this client in %s.\n", where)
	}
	return nil
}

// eraseOnDisk erases a client in the data directory. The error wraps kv.ErrLocked if
// a box runs on it.
func eraseOnDisk(c Config, client netip.Addr, stderr io.Writer) (known bool, err error) {
	defer func() {
		if err != nil {
			err = dataFault(c.DataDir, err)
		}
	}()
	if err := checkFormat(c.DataDir); err != nil {
		return false, err
	}
	dir := databaseDir(c.DataDir)
	info, err := os.Stat(dir) // openDatabase would make one
	if err != nil {
		return false, fmt.Errorf("no box has run here: %w", err)
	}
	if err := checkOwner(info); err != nil {
		return false, err
	}
	db, err := openDatabase(c.DataDir, newLogger(c, stderr))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	l, err := ledger.Open(db.Table("ledger"), db.Table("daily"))
	if err != nil {
		return false, err
	}
	secret, err := siteSecret(c)
	if err != nil {
		return false, err
	}
	s, err := siteledger.Open(siteledger.Options{Table: db.Table("site"), Secret: secret, Log: newLogger(c, stderr)})
	if err != nil {
		return false, err
	}
	notes, _, err := clients.Open(db.Table(notesTable), clients.Privacy{}, newLogger(c, stderr))
	if err != nil {
		return false, err
	}
	var events dashboard.Events
	if _, err := events.Open(db.Table(eventsTable)); err != nil {
		return false, err
	}
	named, err := events.Erase(client)
	known, fault := eraseFrom(l, notes, s, db, client)
	return named || known, errors.Join(err, fault)
}

// eraseFrom erases a client from the ledger, from the notes, from what other boxes told,
// and from the files of the database.
func eraseFrom(l *ledger.Ledger, notes *clients.Notes, s *siteledger.Site, db *kv.DB, client netip.Addr) (known bool, err error) {
	known, err = l.Erase(client)
	if err == nil {
		var noted bool
		noted, err = notes.Erase(client)
		known = known || noted
	}
	if err == nil {
		var told bool
		told, err = s.Erase(client)
		known = known || told
	}
	if err == nil {
		err = db.Purge()
	}
	return known, err
}

// eraseThroughAPI asks the running box.
func eraseThroughAPI(ctx context.Context, c Config, client netip.Addr) (known bool, err error) {
	if c.AdminToken == "" {
		return false, fmt.Errorf("a box runs on MILLPOND_DATA_DIR=%s, and MILLPOND_ADMIN_TOKEN is not set: set it, for the box too, or stop the box", c.DataDir)
	}
	body, err := json.Marshal(api.ClientAddress{Address: client.String()})
	if err != nil {
		return false, err
	}
	answer, err := askAPI[api.Erased](ctx, c, http.MethodPost, "clients/erase", c.AdminToken, body)
	return answer.Known, err
}
