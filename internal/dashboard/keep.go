package dashboard

import (
	"context"

	"millpond/internal/api"
	"millpond/internal/digest"
	"millpond/internal/keep"
)

// Keeper holds slices complete; *keep.Keeper.
type Keeper interface {
	State() []keep.State
}

func (d *Dashboard) getKeep(context.Context, *none) (api.Keep, error) {
	k := api.Keep{Slices: []api.KeptSlice{}}
	for _, s := range d.keep.State() {
		k.Slices = append(k.Slices, keptOf(s))
	}
	return k, nil
}

func keptOf(s keep.State) api.KeptSlice {
	k := api.KeptSlice{
		Suite: s.Suite.String(), System: s.System, State: stateOf(s), Complete: nameOf(s.Complete), Wanted: nameOf(s.Wanted),
		CompleteDate: s.CompleteDate.UTC(), WantedDate: s.WantedDate.UTC(), Since: s.Since.UTC(),
		CompleteFiles: s.CompleteFiles, CompleteBytes: s.CompleteBytes, Files: s.Files, Bytes: s.Bytes, FilesHeld: s.FilesHeld, BytesHeld: s.BytesHeld, FilesGone: s.FilesGone,
		Lacks: []api.Lack{}, LacksMore: s.MoreLacks, Fault: s.Fault,
	}
	for _, l := range s.Lacks {
		k.Lacks = append(k.Lacks, api.Lack{Package: l.Package, Needs: l.Needs})
	}
	return k
}

// nameOf is a generation as the API has it.
func nameOf(d digest.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

// stateOf sums a slice up in a word.
func stateOf(s keep.State) string {
	switch {
	case s.Fault != "":
		return "failing"
	case s.FilesGone > 0:
		return "incomplete"
	case s.Complete.IsZero() || s.Complete != s.Wanted:
		return "fetching"
	}
	return "complete"
}
