package main

import (
	"net/netip"

	"millpond/internal/carry"
	"millpond/internal/clients"
)

// noteWanted is the notes about clients, and notes for the want-list what they did not get.
type noteWanted struct {
	*clients.Notes
	wishes *carry.Wishes
}

func (n noteWanted) Failed(client netip.Addr, status int, cause, url string) {
	n.Notes.Failed(client, status, cause, url)
	n.wishes.Note(url)
}
