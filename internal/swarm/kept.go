package swarm

import "millpond/internal/swarm/reputation"

// Kept chooses the rows of Options.Datastore that other boxes do not tell again: the
// bans.
func Kept(key, _ []byte) bool { return reputation.IsBan(key) }
