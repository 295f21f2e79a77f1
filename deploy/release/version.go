package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// version is what is released.
type version struct {
	number string    // 0.2.0, or between releases 0.2.0+20261128.0123456789ab
	commit string    // in full
	dirty  bool      // the tree differs from the commit
	time   time.Time // of everything that has one
	notes  string    // what CHANGELOG.md says of it
}

// tag is the version as the tag of an image, which cannot have a plus sign. Helm makes it
// an underscore too.
func (v version) tag() string { return strings.ReplaceAll(v.number, "+", "_") }

// heading begins the part of CHANGELOG.md about a version: "## 0.2.0 (2026-11-28)", or
// "## Unreleased".
var heading = regexp.MustCompile(`(?m)^## (?:(Unreleased)|([0-9]+\.[0-9]+\.[0-9]+) \(([0-9]{4}-[0-9]{2}-[0-9]{2})\))$`)

// readVersion says what the tree is a version of. CHANGELOG.md decides: if its first
// part is about a version, that is the one. With "Unreleased" on top the number is the
// last version's with the commit's date and name behind it, which dpkg and Helm sort
// between that version and the next.
func readVersion(root, tag string) (v version, err error) {
	log, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return v, err
	}
	if v.commit, err = output(root, "git", "rev-parse", "HEAD"); err != nil {
		return v, err
	}
	// What git does not know is compiled too.
	changes, err := output(root, "git", "status", "--porcelain", "--untracked-files=normal")
	if err != nil {
		return v, err
	}
	v.dirty = changes != ""
	if v.time, err = sourceTime(root); err != nil {
		return v, err
	}
	unreleased := false
	if v.number, v.notes, unreleased, err = newest(string(log)); err != nil {
		return v, err
	}
	if unreleased {
		v.number += "+" + v.time.Format("20060102") + "." + v.commit[:12]
	}
	switch {
	case v.dirty && unreleased:
		v.number += ".dirty"
	case v.dirty:
		v.number += "+dirty"
	}
	if tag != "" && tag != "v"+v.number {
		return v, fmt.Errorf("the tag is %s, and CHANGELOG.md and the tree make this v%s: name the version in the first heading of CHANGELOG.md, commit, then tag", tag, v.number)
	}
	return v, nil
}

// newest reads the first part of a changelog, and the number of the newest version.
func newest(log string) (number, notes string, unreleased bool, err error) {
	parts := heading.FindAllStringSubmatchIndex(log, -1)
	if len(parts) == 0 {
		return "", "", false, errors.New(`CHANGELOG.md has no heading such as "## 0.2.0 (2026-11-28)" or "## Unreleased"`)
	}
	end := len(log)
	if len(parts) > 1 {
		end = parts[1][0]
	}
	notes = strings.TrimSpace(log[parts[0][1]:end]) + "\n"
	number = "0.0.0" // before the first version
	for _, p := range parts {
		if p[4] >= 0 {
			number = log[p[4]:p[5]]
			break
		}
	}
	return number, notes, parts[0][2] >= 0, nil
}

// sourceTime is the time of everything in the release.
func sourceTime(root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = output(root, "git", "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%q: it takes seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// output runs a program in a directory and returns what it prints.
func output(dir, name string, args ...string) (string, error) {
	return outputWith(nil, dir, name, args...)
}

// outputWith is output with more in the environment.
func outputWith(environ []string, dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), environ...)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(trouble.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
