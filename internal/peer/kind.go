package peer

// Kind is what a box is to this one. Integrity does not depend on it: digests and
// signatures decide that. Privacy and permission do. The greater kinds may do all
// that the lesser ones may.
type Kind uint8

const (
	// Stranger is any box. It gets answers about digests, and DHT service.
	Stranger Kind = iota
	// Local is a box at an address of the site: it may do what an apt client at
	// that address may do anyway.
	Local
	// Member is a box that holds the swarm's key, or that an administrator lists.
	Member
)

// String returns the kind as one word, for logs and the API.
func (k Kind) String() string { return [...]string{"stranger", "local", "member"}[k] }

// Asker is the box that a request came from.
type Asker struct {
	ID   string // peer ID
	Kind Kind
}
