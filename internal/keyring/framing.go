package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxDetached bounds a Release.gpg. A real one has 1 to 3 KB.
const maxDetached = 1 << 20

// markers are the lines that frame clear-signed text (RFC 9580, section 7),
// in their order.
var markers = [...]string{
	"-----BEGIN PGP SIGNED MESSAGE-----",
	"-----BEGIN PGP SIGNATURE-----",
	"-----END PGP SIGNATURE-----",
}

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

// splitClearsigned splits an InRelease into the text, the text in the form
// that is hashed, and the signatures.
func splitClearsigned(b []byte) (text, signed []byte, sigs []*packet.OpaquePacket, err error) {
	b = bytes.Trim(b, " \t\r\n")
	if err := checkMarkers(b); err != nil {
		return nil, nil, nil, err
	}
	// Decode on its own would skip anything before the first message and stop
	// at its end; the markers say that there is nothing before, and rest must
	// be empty.
	block, rest := clearsign.Decode(b)
	if block == nil {
		return nil, nil, nil, malformed("damaged clear-signed message")
	}
	if len(rest) > 0 {
		return nil, nil, nil, malformed("%.40q after the signature", rest)
	}
	if block.ArmoredSignature.Type != openpgp.SignatureType {
		return nil, nil, nil, malformed("%.40q in place of a signature", block.ArmoredSignature.Type)
	}
	sigs, err = readSignatures(block.ArmoredSignature.Body)
	if err != nil {
		return nil, nil, nil, err
	}
	return block.Plaintext, block.Bytes, sigs, nil
}

// checkMarkers checks that b is exactly one message: each marker
// occurs once, the first at the very beginning, and no other line begins with
// a dash, unless it is escaped and in the text.
func checkMarkers(b []byte) error {
	if !bytes.HasPrefix(b, []byte(markers[0])) {
		return malformed("clear-signed text does not begin with %q", markers[0])
	}
	n := 0
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		escaped := n == 1 && bytes.HasPrefix(line, []byte("- "))
		if escaped || !bytes.HasPrefix(line, []byte("-")) {
			continue
		}
		if n == len(markers) || string(line) != markers[n] {
			return malformed("line %.40q where it does not belong", line)
		}
		n++
	}
	if n < len(markers) {
		return malformed("no line %q", markers[n])
	}
	return nil
}

// splitDetached returns the signatures of a Release.gpg. Archives that sign
// with several keys may put armored blocks one after another.
func splitDetached(b []byte) ([]*packet.OpaquePacket, error) {
	if len(b) > maxDetached {
		return nil, malformed("%d bytes, at most %d are read", len(b), maxDetached)
	}
	if isBinary(b) {
		return readSignatures(bytes.NewReader(b))
	}
	bin, outside, err := dearmor(b, openpgp.SignatureType)
	if err != nil {
		return nil, malformed("%v", err)
	}
	if outside = bytes.Trim(outside, " \t\r\n"); len(outside) > 0 {
		return nil, malformed("%.40q beside the signature", outside)
	}
	return readSignatures(bytes.NewReader(bin))
}

// readSignatures reads 1 to maxSignatures signature packets and nothing else.
func readSignatures(r io.Reader) ([]*packet.OpaquePacket, error) {
	const tagSignature = 2
	var sigs []*packet.OpaquePacket
	packets := packet.NewOpaqueReader(r)
	for {
		p, err := packets.Next()
		switch {
		case errors.Is(err, io.EOF) && len(sigs) > 0:
			return sigs, nil
		case errors.Is(err, io.EOF):
			return nil, malformed("no signature")
		case err != nil:
			return nil, malformed("%v", err)
		case p.Tag != tagSignature || len(p.Contents) == 0:
			return nil, malformed("a packet of type %d in place of a signature", p.Tag)
		case len(sigs) == maxSignatures:
			return nil, malformed("more than %d signatures", maxSignatures)
		}
		sigs = append(sigs, p)
	}
}

// isBinary reports whether b begins like a packet rather than like text.
func isBinary(b []byte) bool { return len(b) > 0 && b[0]&0x80 != 0 }

// dearmor decodes the armored blocks of a kind in b, and returns the text
// outside of them as well.
func dearmor(b []byte, kind string) (bin, outside []byte, err error) {
	begin := []byte("-----BEGIN " + kind + "-----")
	end := []byte("-----END " + kind + "-----")
	for {
		before, rest, found := bytes.Cut(b, begin)
		outside = append(outside, before...)
		if !found {
			return bin, outside, nil
		}
		body, rest, found := bytes.Cut(rest, end)
		if !found {
			return nil, nil, errors.New("an armored block has no end")
		}
		block, err := armor.Decode(io.MultiReader(bytes.NewReader(begin), bytes.NewReader(body), bytes.NewReader(end)))
		if err != nil {
			return nil, nil, fmt.Errorf("reading an armored block: %w", err)
		}
		decoded, err := io.ReadAll(block.Body)
		if err != nil {
			return nil, nil, fmt.Errorf("decoding an armored block: %w", err)
		}
		bin = append(bin, decoded...)
		b = rest
	}
}
