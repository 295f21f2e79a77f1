package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// fromFile ends the name of a variable that names a file with a secret, as
// Docker and Kubernetes mount theirs.
const fromFile = "_FILE"

// maxSecret is many times the length of a sensible secret.
const maxSecret = 64 << 10

// readSecrets sets each secret that is given by a file to the content of it.
func (f *faults) readSecrets() {
	for _, s := range settings() {
		file, ok := f.vars[s.Name+fromFile]
		if !ok || !s.secret {
			continue
		}
		if !filepath.IsAbs(file) {
			// Not repeated: it may be the secret itself.
			f.all = append(f.all, fmt.Errorf("%s%s: takes the absolute path of a file with a line, which is the secret", s.Name, fromFile))
			continue
		}
		value, err := readSecret(file)
		if err == nil && !s.lines && strings.ContainsAny(value, "\r\n") {
			err = errors.New("it has more than one line")
		}
		if err == nil && f.vars[s.Name] != "" {
			err = fmt.Errorf("%s is set as well; keep one of the two", s.Name)
		}
		if err != nil {
			f.all = append(f.all, fmt.Errorf("%s%s=%q: takes a file with a line, which is the secret: %w", s.Name, fromFile, file, err))
			continue
		}
		f.vars[s.Name] = value
	}
}

// readSecret reads a file without the newline that most editors end it with.
func readSecret(file string) (string, error) {
	r, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer r.Close()
	// One byte more shows that it is too long.
	text, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	secret := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxSecret:
		return "", fmt.Errorf("it has more than %d bytes", maxSecret)
	case secret == "":
		return "", errors.New("it is empty")
	}
	return secret, nil
}
