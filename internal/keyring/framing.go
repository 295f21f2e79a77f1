package keyring

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxDetached bounds a Release.gpg. A real one has 1 to 3 KB.
const maxDetached = 1 << 20

// markers are the lines that frame clear-signed text (RFC 9580, section 7),
// in their order. The second and third may come again.
var markers = [...]string{
	"-----BEGIN PGP SIGNED MESSAGE-----",
	"-----BEGIN PGP SIGNATURE-----",
	"-----END PGP SIGNATURE-----",
}

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

// splitClearsigned splits an InRelease into text and signatures by apt's own
// rules (SplitClearSignedFile in apt-pkg/contrib/gpgv.cc, apt 3.0): blanks at
// the end of any line do not count, armor headers are ignored whatever they
// say, several blocks of signatures may follow, and no line begins with a dash
// but markers and, in the text, escaped lines.
func splitClearsigned(b []byte) (text []byte, sigs []*packet.OpaquePacket, err error) {
	var (
		armored []byte
		part    clearsignedPart
	)
	for line := range bytes.SplitSeq(bytes.Trim(b, " \t\r\n"), []byte("\n")) {
		line = bytes.TrimRight(bytes.TrimRight(line, "\r"), " \t")
		dash := bytes.HasPrefix(line, []byte("-"))
		switch {
		case part == begin && string(line) != markers[0]:
			return nil, nil, malformed("clear-signed text does not begin with %q", markers[0])
		case part == begin:
			part = headers
		case part == headers && len(line) == 0:
			part = body
		case part == body && string(line) == markers[1], part == signatures:
			part = signatures
			armored = append(append(armored, line...), '\n')
		case part == body && bytes.HasPrefix(line, []byte("- ")):
			text = append(append(text, line[2:]...), '\n')
		case dash:
			return nil, nil, malformed("line %.40q where it does not belong", line)
		case part == body:
			text = append(append(text, line...), '\n')
		}
	}
	if part != signatures {
		return nil, nil, malformed("no line %q", markers[1])
	}
	bin, outside, err := dearmor(armored, openpgp.SignatureType)
	if err != nil {
		return nil, nil, malformed("%v", err)
	}
	if len(bytes.TrimSpace(outside)) > 0 {
		return nil, nil, malformed("%.40q beside the signature", outside)
	}
	if sigs, err = readSignatures(bytes.NewReader(bin)); err != nil {
		return nil, nil, err
	}
	// The last line's end belongs to the marker after it.
	return bytes.TrimSuffix(text, []byte("\n")), sigs, nil
}

// clearsignedPart is a part of clear-signed text, in their order.
type clearsignedPart int

const (
	begin clearsignedPart = iota
	headers
	body
	signatures
)

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
// outside of them as well. Like apt's sqv it takes any header, needs neither
// the blank line after them nor the checksum, and ignores a wrong one (RFC
// 9580, section 6.1: it must not be required).
func dearmor(b []byte, kind string) (bin, outside []byte, err error) {
	var (
		open, inHeaders bool
		data            []byte
	)
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		line = bytes.Trim(line, " \t\r")
		switch {
		case !open && string(line) == "-----BEGIN "+kind+"-----":
			open, inHeaders, data = true, true, data[:0]
		case !open:
			outside = append(append(outside, line...), '\n')
		case string(line) == "-----END "+kind+"-----":
			n := len(bin)
			bin = append(bin, make([]byte, base64.StdEncoding.DecodedLen(len(data)))...)
			read, err := base64.StdEncoding.Decode(bin[n:], data)
			if err != nil {
				return nil, nil, fmt.Errorf("decoding an armored block: %w", err)
			}
			bin, open = bin[:n+read], false
		case bytes.HasPrefix(line, []byte("-")):
			return nil, nil, fmt.Errorf("line %.40q in an armored block", line)
		case inHeaders && bytes.Contains(line, []byte(":")):
		case len(line) == 5 && line[0] == '=': // the checksum
		default:
			inHeaders = false
			data = append(data, line...)
		}
	}
	if open {
		return nil, nil, errors.New("an armored block has no end")
	}
	return bin, outside, nil
}
