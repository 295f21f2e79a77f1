package main

import (
	"io"
	"os"

	"millpond/internal/mirror"
)

// readLogins reads the box's logins from a file.
func readLogins(file string) (mirror.Logins, error) {
	f, err := os.Open(file)
	if err != nil {
		return mirror.Logins{}, err
	}
	defer f.Close()
	// One byte more shows that it is too long.
	text, err := io.ReadAll(io.LimitReader(f, mirror.MaxLogins+1))
	if err != nil {
		return mirror.Logins{}, err
	}
	return mirror.ParseLogins(string(text))
}
