package keyring

import (
	"encoding/binary"
	"net/url"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Subpackets of a signature that say where to get its key, and under which policy it
// was made (RFC 9580, sections 5.2.3.26 and 5.2.3.28).
const (
	preferredKeyServer = 24
	policyURI          = 26
)

// maxWhere bounds a URI in bytes.
const maxWhere = 200

// where returns the URIs in a signature that say where to get its key. Nothing proves
// them before the key is known: they are for a person to judge.
func where(p *packet.OpaquePacket) (all []string) {
	for kind, value := range hashedSubpackets(p.Contents) {
		if (kind == preferredKeyServer || kind == policyURI) && isWhere(string(value)) && !slices.Contains(all, string(value)) {
			all = append(all, string(value))
		}
	}
	return all
}

// isWhere reports whether s is a URI of a web or key server in printable ASCII.
func isWhere(s string) bool {
	u, err := url.Parse(s)
	odd := func(c byte) bool { return c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' }
	return err == nil && len(s) <= maxWhere && u.Host != "" && u.User == nil &&
		slices.Contains([]string{"http", "https", "hkp", "hkps"}, u.Scheme) && !slices.ContainsFunc([]byte(s), odd)
}

// hashedSubpackets yields the types and values of the hashed subpackets of a
// signature of version 4 or 6, up to the first malformed one.
func hashedSubpackets(sig []byte) func(yield func(kind byte, value []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		for rest := hashedArea(sig); len(rest) > 0; {
			n, size := subpacketLength(rest)
			if size == 0 || n == 0 || n > uint64(len(rest)-size) {
				return
			}
			body := rest[size : size+int(n)]
			if !yield(body[0]&^0x80, body[1:]) { // without the bit for critical
				return
			}
			rest = rest[size+int(n):]
		}
	}
}

// hashedArea returns the hashed subpackets of a signature. They follow its version,
// type and two algorithms.
func hashedArea(sig []byte) []byte {
	const fixed = 4
	width := 2
	if len(sig) > 0 && sig[0] == 6 {
		width = 4
	}
	if len(sig) < fixed+width {
		return nil
	}
	n := uint64(binary.BigEndian.Uint16(sig[fixed:]))
	if width == 4 {
		n = uint64(binary.BigEndian.Uint32(sig[fixed:]))
	}
	rest := sig[fixed+width:]
	return rest[:min(n, uint64(len(rest)))]
}

// subpacketLength reads a subpacket's length, of size bytes itself; size is 0 if
// it is not all there.
func subpacketLength(b []byte) (n uint64, size int) {
	switch {
	case b[0] < 192:
		return uint64(b[0]), 1
	case b[0] < 255 && len(b) >= 2:
		return uint64(b[0]-192)<<8 + uint64(b[1]) + 192, 2
	case b[0] == 255 && len(b) >= 5:
		return uint64(binary.BigEndian.Uint32(b[1:])), 5
	}
	return 0, 0
}
