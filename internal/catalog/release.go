package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"millpond/internal/deb822"
	"millpond/internal/digest"
	"millpond/internal/keyring"
)

// Generation is one published state of a suite.
type Generation struct {
	ID         digest.Digest // of InRelease, or of Release where there is no InRelease
	Signature  digest.Digest // of Release.gpg; zero with InRelease or if unsigned
	Signed     bool          // by a key of the keyring, or of a trusted host
	Why        string        // why not Signed, in plain words
	Date       time.Time
	ValidUntil time.Time // zero: no end
	Files      int       // that the Release lists by SHA-256
	Learned    time.Time // first
	Private    bool      // it came with a login each time
	Reach      Reach     // where it came from
	Listed     bool      // MILLPOND_SHARE_HOSTS has its host
	Signer     string    // fingerprint of the key, "" if none of the keyring
	Early      bool      // no Signer until a time that is to come, by this machine's clock

	// Text is the digest of what was signed: InRelease and Release have the same.
	Text digest.Digest
	// As the Release says.
	Origin, Label, Suite, Codename string
}

// Proved reports whether a key of the keyring made the Release what it is, be it
// ahead of this machine's clock. Any Release of a trusted host is Signed, but not
// proved.
func (g Generation) Proved() bool { return g.Signed && g.Signer != "" || g.Early }

// record is a Generation as it is kept on disk, with all that Signed and Why
// depend on: the keys and the trusted hosts may differ after a restart.
type record struct {
	Generation
	ByHash     bool
	Weak       bool     // lists files, but none by SHA-256
	SHA512     bool     // lists files by SHA-512
	Fault      string   // why there is no Signer
	Missing    []string // the keys that signed, if none is of the keyring
	Where      []string // URIs where the signatures say that these keys are
	SignedBy   []string // the keys that it names for the next Release
	Demand     demand   // that of the Release before it
	Table      tableID
	Pair       bool      // it came as Release, not as InRelease
	Named      bool      // the table has the names in by-hash, as none of earlier versions has
	Superseded time.Time // when it ceased to be the current one, or became known if it never was
	Coming     bool      `json:",omitzero"` // it was never the current one
	BinaryAll  bool      `json:",omitzero"` // clients read the indices in binary-all, too; not known of those of earlier versions
}

// suiteRecord is the value of a suite's row.
type suiteRecord struct {
	Generations []record
	Past        []record  `json:",omitempty"`
	First       time.Time // as in uses; zero before it was kept
	Used, Found int64     // likewise
	Asked       int64     // likewise; 0 before it was kept
}

// ReleaseFiles are the bytes of a suite's Release files: InRelease alone, or
// Release with Signature (nil if there is none).
type ReleaseFiles struct {
	InRelease, Release, Signature []byte
	Private                       bool   // a login was sent for them
	Reach                         Reach  // of the place that they came from
	Unsigned                      string // why there is no Signature, if it is known
}

// id is the generation's.
func (r ReleaseFiles) id() digest.Digest {
	if r.InRelease != nil {
		return digest.Of(r.InRelease)
	}
	return digest.Of(r.Release)
}

// CheckedRelease is a Release that CheckRelease accepted. Adopt takes it as it
// is, so that each is parsed and verified once.
type CheckedRelease struct {
	// Generation is what the Release says of itself. Adopt returns what is
	// known of it in all.
	Generation Generation

	dir      Location
	record   record
	files    []deb822.File
	hashes   []deb822.Hash
	unsigned bool // came without a signature, which says nothing against an earlier one
}

// Suite is the directory of the Release.
func (r *CheckedRelease) Suite() Location { return r.dir }

// CheckRelease parses and verifies the Release of the suite in dir without
// recording anything. A Release without a signature by a known key is no
// error: the Generation is not Signed, and says why. An error means that it is
// no Release at all, or that a known key's signature is over other bytes
// (keyring.ErrBadSignature): the last good one stays in force.
func (c *Catalog) CheckRelease(dir Location, r ReleaseFiles) (*CheckedRelease, error) {
	rec := record{Generation: Generation{ID: r.id(), Learned: c.now(), Private: r.Private, Reach: r.Reach}}
	rec.Demand = c.state.Load().demand(dir, rec.ID)
	text, signer, err := c.verify(r, rec.Demand.keys(c.now()))
	switch {
	case text == nil, errors.Is(err, keyring.ErrBadSignature):
		return nil, fmt.Errorf("checking the Release of %s: %w", dir, err)
	case err != nil:
		rec.Fault, rec.Early = err.Error(), errors.Is(err, keyring.ErrEarly)
		var unknown *keyring.UnknownKeyError
		if errors.As(err, &unknown) {
			rec.Missing, rec.Where = unknown.Keys, unknown.Where
		}
		if errors.Is(err, keyring.ErrOtherKey) {
			rec.Missing = slices.DeleteFunc(rec.Demand.keys(c.now()), c.keyring.Has)
		}
	default:
		rec.Signer = signer.Fingerprint
	}
	rel, err := deb822.ParseRelease(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("checking the Release of %s: %w", dir, err)
	}
	rec.Date, rec.ValidUntil, rec.Files = rel.Date, rel.ValidUntil, len(rel.Files)
	if r.InRelease == nil && r.Signature != nil {
		rec.Signature = digest.Of(r.Signature)
	}
	rec.Origin, rec.Label, rec.Suite, rec.Codename = rel.Origin, rel.Label, rel.Suite, rel.Codename
	rec.Text = digest.Of(bytes.TrimSpace(text))
	rec.Pair = r.InRelease == nil
	rec.ByHash, rec.Weak, rec.SHA512, rec.SignedBy = rel.ByHash, rel.Weak, rel.SHA512, rel.SignedBy
	rec.BinaryAll = rel.BinaryAll
	c.decideSigned(dir, &rec)
	return &CheckedRelease{
		Generation: rec.Generation, dir: dir, record: rec, files: rel.Files, hashes: rel.Hashes,
		unsigned: r.InRelease == nil && r.Signature == nil,
	}, nil
}

// verify returns the text of the Release, and an error if no key of the
// keyring signed it, or of those in only. The text is nil if there is none.
func (c *Catalog) verify(r ReleaseFiles, only []string) (text []byte, s keyring.Signer, err error) {
	switch {
	case r.InRelease != nil:
		text, s, err = c.keyring.Clearsigned(r.InRelease, only...)
		if text == nil && err == nil {
			err = errors.New("empty")
		}
	case r.Release == nil:
		err = errors.New("neither InRelease nor Release")
	case r.Signature == nil:
		text, err = r.Release, errors.New(cmp.Or(r.Unsigned, "it has no signature"))
	default:
		text = r.Release
		s, err = c.keyring.Detached(r.Release, r.Signature, only...)
	}
	return text, s, err
}

// decideSigned decides whether a generation counts as signed, and whether a setting
// shares it.
func (c *Catalog) decideSigned(dir Location, r *record) {
	r.Signed, r.Why, r.Listed = false, "", c.shareHost(dir)
	switch {
	case r.Weak && r.SHA512:
		r.Why = "the Release lists files by SHA-512 but not by SHA-256, by which files are known here: they are cached by name"
	case r.Weak:
		r.Why = "the Release lists files by MD5 or SHA-1 only, which prove nothing"
	case c.trusted[dir.Host], r.Signer != "" && c.keyring.Has(r.Signer):
		r.Signed = true
	case r.Signer != "":
		r.Why = "the key that signed it, " + r.Signer + ", is not in the keyring any more"
	default:
		r.Why = r.Fault
	}
}

// Generation returns a kept generation of the suite in that directory, the
// current one for a zero id.
func (c *Catalog) Generation(suite Location, id digest.Digest) (Generation, bool) {
	st := c.state.Load().suites[suite]
	if st == nil {
		return Generation{}, false
	}
	if id.IsZero() {
		return st.current().Generation, true
	}
	if g := st.find(id); g != nil {
		return g.Generation, true
	}
	return Generation{}, false
}

// SuiteInfo is what a person wants to see of a suite.
type SuiteInfo struct {
	Location                       Location // its directory
	Origin, Label, Suite, Codename string   // as its Release has them
	Current                        Generation
	Signer                         string    // fingerprint of the key that signed Current, "" if none of the keyring did
	MissingKeys                    []string  // that signed Current, fingerprints or key IDs, if none is of the keyring
	Where                          []string  // URIs that the signatures have of where these keys are
	SignedBy                       []string  // fingerprints of the keys that Current names for the next Release
	Early                          bool      // Current is signed in the future, by this machine's clock
	Earlier                        int       // generations kept beside the current one
	Used                           time.Time // when a client last asked for its Release or what that lists; zero if none found anything in the suite
	Indices                        []IndexInfo
}

// IndexInfo is an index of the current generation that was learned.
type IndexInfo struct {
	Path string // relative to the suite's directory
	Rows int64  // files that it lists
}

// Suites returns all suites, sorted by host and path.
func (c *Catalog) Suites() []SuiteInfo {
	s := c.state.Load()
	infos := make([]SuiteInfo, 0, len(s.suites))
	for dir, st := range s.suites {
		g := st.current()
		info := SuiteInfo{
			Location: dir, Origin: g.Origin, Label: g.Label, Suite: g.Suite, Codename: g.Codename,
			Current: g.Generation, Signer: g.Signer, MissingKeys: g.Missing, Where: g.Where, SignedBy: g.SignedBy, Early: g.Early, Earlier: len(st.gens) - 1,
		}
		if st.hits.Load() > 0 && st.asked.Load() > 0 {
			info.Used = time.Unix(st.asked.Load(), 0)
		}
		for _, l := range g.learned {
			info.Indices = append(info.Indices, IndexInfo{l.path, l.table.rows})
		}
		slices.SortFunc(info.Indices, func(a, b IndexInfo) int { return strings.Compare(a.Path, b.Path) })
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b SuiteInfo) int { return a.Location.compare(b.Location) })
	return infos
}
