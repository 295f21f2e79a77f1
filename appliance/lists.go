package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"millpond/internal/digest"
	"millpond/internal/disk"
	"millpond/internal/mirror"
)

// Bounds of a file with a list of hosts. Each request looks through the lists, which takes
// some 0.1 ms for 4096 entries; the bytes are for names of 60 characters with a comment each.
const (
	maxListEntries = 4096
	maxListBytes   = 512 << 10
)

// listFile is a file with a list of hosts, for a setting.
type listFile struct {
	setting string // without prefix
	path    string
	entries []string // in force, sorted

	seen, used digest.Digest // content at the last look, and when it was last used
	fault      error         // why the file cannot be used; nil if it can
}

// name is the variable that names the file.
func (l *listFile) name() string { return prefix + l.setting + fromFile }

// listEntry is an entry with the line that it stands in.
type listEntry struct {
	line int
	text string
}

// splitList reads entries that are separated by commas or line ends. What follows a # is a
// comment.
func splitList(text []byte) (all []listEntry, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // of editors on Windows
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line, _, _ = bytes.Cut(line, []byte("#"))
		for _, entry := range parseList(string(line)) {
			all = append(all, listEntry{number, entry})
		}
		if len(all) > maxListEntries {
			return nil, fmt.Errorf("line %d: more than %d entries; write *.domain for many names", number, maxListEntries)
		}
	}
	return all, nil
}

// parseListFile returns the entries of a list for a setting, sorted and each once. The
// error names the first line that is wrong.
func parseListFile(setting string, text []byte) ([]string, error) {
	all, err := splitList(text)
	if err != nil {
		return nil, err
	}
	var entries []string
	for _, e := range all {
		if err := checkListEntry(setting, e.text, len(all) == 1); err != nil {
			return nil, fmt.Errorf("line %d: %.100q: %s", e.line, e.text, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		entries = append(entries, e.text)
	}
	if len(entries) == 0 && setting == "ONLY_ARCHIVES" {
		return nil, errors.New("it has no entry, which would allow all archives; for that, unset the variable")
	}
	if len(entries) == 0 && setting == "TUNNELS" {
		return nil, errors.New("it has no entry; write false for no tunnels, true for all")
	}
	slices.Sort(entries)
	return slices.Compact(entries), nil
}

// checkListEntry checks an entry of a list, which may be the only one.
func checkListEntry(setting, entry string, only bool) error {
	switch setting {
	case "HOSTS":
		_, err := parseNames([]string{entry})
		return err
	case "ALLOW_UPSTREAMS":
		_, err := mirror.ParsePolicy([]string{entry})
		return err
	case "ONLY_ARCHIVES":
		return new(mirror.Policy).Restrict([]string{entry})
	}
	if !only && (isYes(entry) || isNo(entry)) {
		return errors.New("true and false stand alone")
	}
	_, err := parseTunnels(entry)
	return err
}

// read returns the content of the file.
func (l *listFile) read() ([]byte, error) { return disk.ReadFile(l.path, maxListBytes) }

// parse returns the entries of what read returned. The error names file, line, cause and
// cure.
func (l *listFile) parse(text []byte, err error) ([]string, error) {
	var entries []string
	if err == nil {
		entries, err = parseListFile(l.setting, text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s", l.path, strings.ReplaceAll(plain(err), l.path+": ", ""))
	}
	return entries, nil
}

// contentOf tells one result of read from another.
func contentOf(text []byte, err error) digest.Digest {
	if err != nil {
		text = []byte(err.Error())
	}
	return digest.Of(text)
}

// readLists sets each list that is given by a file to the content of it.
func (f *faults) readLists() (all []*listFile) {
	for _, s := range settings() {
		path, ok := f.vars[s.Name+fromFile]
		if !ok || !s.list {
			continue
		}
		l := &listFile{setting: strings.TrimPrefix(s.Name, prefix), path: path}
		text, err := l.read()
		l.used = contentOf(text, err)
		l.seen = l.used
		l.entries, err = l.parse(text, err)
		switch {
		case !filepath.IsAbs(path):
			err = errors.New("the path is not absolute")
		case f.vars[s.Name] != "":
			err = fmt.Errorf("%s is set as well; keep one of the two", s.Name)
		}
		if err != nil {
			f.all = append(f.all, fmt.Errorf("%s=%q: takes the absolute path of a file with %s, or one on each line: %w", l.name(), path, s.Takes, err))
			continue
		}
		if len(l.entries) > 0 {
			f.vars[s.Name] = strings.Join(l.entries, ",")
		}
		all = append(all, l)
	}
	return all
}

// listFileOf returns the file of a setting's list, nil if it has none.
func (c *Config) listFileOf(setting string) *listFile {
	i := slices.IndexFunc(c.lists, func(l *listFile) bool { return l.setting == setting })
	if i < 0 {
		return nil
	}
	return c.lists[i]
}

// takeList puts the entries of a file, which are valid, into their setting.
func (c *Config) takeList(l *listFile) (err error) {
	switch l.setting {
	case "HOSTS":
		c.Hosts = l.entries
		c.names, err = parseNames(l.entries)
	case "ALLOW_UPSTREAMS":
		c.AllowUpstreams = l.entries
	case "ONLY_ARCHIVES":
		c.OnlyArchives = l.entries
	case "TUNNELS":
		c.Tunnels, err = parseTunnels(strings.Join(l.entries, ","))
	}
	return err
}

// policy is what MILLPOND_ALLOW_UPSTREAMS and MILLPOND_ONLY_ARCHIVES say.
func (c *Config) policy() (*mirror.Policy, error) {
	p, err := mirror.ParsePolicy(c.AllowUpstreams)
	if err != nil {
		return nil, err
	}
	return p, p.Restrict(c.OnlyArchives)
}
