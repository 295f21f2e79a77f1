package carry

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Reason is why a file was not imported.
type Reason string

// The reasons, in the words of the report.
const (
	NotArchives Reason = "not a package, a source or an index"
	NoURL       Reason = "a suite's file, and the URL of its archive is not known (--as)"
	NotSigned   Reason = "a Release that is not taken"
	NotListed   Reason = "an index that no Release taken from there lists"
	Differs     Reason = "not the bytes that the signed index lists at this place: damaged, forged, or of another time"
	NoRoom      Reason = "no room in the cache: raise MILLPOND_CACHE_SIZE, or make room on its disk"
	Changing    Reason = "changed while it was read"
	Unreadable  Reason = "not readable"
	LinkOut     Reason = "a symbolic link that leads out of the directory or to nothing, or to a directory"
	Special     Reason = "a device, a pipe or a socket"
	BadName     Reason = "a name that is not UTF-8"
	TooDeep     Reason = "too deep in directories"
	TooMany     Reason = "more suites than one import takes"
	WithLogin   Reason = "came with a login, and is for those alone who have one"
	NotFetched  Reason = "could not be fetched"
)

// Skipped is what was not imported for one reason.
type Skipped struct {
	Reason   Reason
	Files    int64
	Examples []string // the first few names, with what is known beyond the reason
}

// Report is what became of the files of an import, an export or a fill.
type Report struct {
	Taken, TakenBytes int64 // new in the box, or in the directory
	Held, HeldBytes   int64 // there before
	Linked, Cloned    int64 // of Taken, which take no room of their own
	Unlisted          int64 // of Taken: no signed index that is known lists them
	Missing           int64 // of an export: listed, and not held
	Suites            []string

	mu      sync.Mutex // guards all
	skipped map[Reason]*Skipped
}

func newReport() *Report { return &Report{skipped: make(map[Reason]*Skipped)} }

func (r *Report) missing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Missing++
}

// skip counts a file that was not imported. why adds to its name, "" for nothing.
func (r *Report) skip(reason Reason, name, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.skipped[reason]
	if s == nil {
		s = &Skipped{Reason: reason}
		r.skipped[reason] = s
	}
	s.Files++
	if len(s.Examples) < maxExamples {
		name = strings.ToValidUTF8(name, "?")
		if why != "" {
			name += " (" + why + ")"
		}
		s.Examples = append(s.Examples, name)
	}
}

// Skipped returns what was not imported, the most files first.
func (r *Report) Skipped() []Skipped {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Skipped, 0, len(r.skipped))
	for _, reason := range slices.Sorted(maps.Keys(r.skipped)) {
		all = append(all, *r.skipped[reason])
	}
	slices.SortStableFunc(all, func(a, b Skipped) int { return int(b.Files - a.Files) })
	return all
}
