package front

import (
	"fmt"
	"net/netip"
	"strings"
)

// parseForwardedFor reads a line of X-Forwarded-For: nodes, the nearest one
// last. A node that hides its address is the zero Addr.
func parseForwardedFor(line string) ([]netip.Addr, error) {
	var all []netip.Addr
	for node := range strings.SplitSeq(line, ",") {
		if node = strings.TrimSpace(node); node == "" {
			continue
		}
		a, err := parseNode(node)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// parseForwarded reads a line of Forwarded (RFC 7239, section 4) and returns the
// nodes that its elements are for, as parseForwardedFor does.
func parseForwarded(line string) ([]netip.Addr, error) {
	var all []netip.Addr
	for rest := line; rest != ""; {
		node, empty, after, err := parseElement(rest)
		if err != nil {
			return nil, err
		}
		if !empty {
			all = append(all, node)
		}
		rest = after
	}
	return all, nil
}

// parseElement reads pairs up to a comma, and returns what stands after it.
func parseElement(s string) (node netip.Addr, empty bool, after string, err error) {
	empty = true
	named := false
	for {
		pair, end, after, err := cutPair(s)
		if err != nil {
			return node, empty, "", err
		}
		if pair != "" {
			empty = false
			name, value, err := parsePair(pair)
			if err != nil {
				return node, empty, "", err
			}
			if strings.EqualFold(name, "for") {
				if named {
					return node, empty, "", fmt.Errorf("%.60q is for two nodes", s)
				}
				named = true
				if node, err = parseNode(value); err != nil {
					return node, empty, "", err
				}
			}
		}
		if end != ';' {
			return node, empty, after, nil
		}
		s = after
	}
}

// cutPair cuts s at the first comma or semicolon outside of quotation marks,
// which it returns, 0 at the end.
func cutPair(s string) (pair string, end byte, after string, err error) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && (c == ',' || c == ';'):
			return strings.TrimSpace(s[:i]), c, s[i+1:], nil
		}
	}
	if quoted {
		return "", 0, "", fmt.Errorf("a quotation mark in %.60q has no end", s)
	}
	return strings.TrimSpace(s), 0, "", nil
}

// parsePair reads name=value. No value that matters here needs a backslash.
func parsePair(pair string) (name, value string, err error) {
	name, value, ok := strings.Cut(pair, "=")
	if quoted, is := strings.CutPrefix(value, `"`); is {
		value, is = strings.CutSuffix(quoted, `"`)
		ok = ok && is
	}
	if !ok || name == "" || strings.ContainsAny(name, "\" \t") || strings.Contains(strings.ReplaceAll(value, `\"`, ""), `"`) {
		return "", "", fmt.Errorf("%.60q is no name=value", pair)
	}
	return name, value, nil
}

// parseNode reads the name of a node (RFC 7239, section 6): an address, with a
// port or without, or a word in its place, which gives the zero Addr. As proxies
// write it, an IPv6 address may lack its brackets.
func parseNode(s string) (netip.Addr, error) {
	if word, _, _ := strings.Cut(s, ":"); strings.EqualFold(word, "unknown") || strings.HasPrefix(word, "_") {
		return netip.Addr{}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return plain(a), nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plain(ap.Addr()), nil
	}
	if bare, ok := strings.CutPrefix(s, "["); ok {
		if bare, ok = strings.CutSuffix(bare, "]"); ok {
			if a, err := netip.ParseAddr(bare); err == nil && a.Is6() {
				return plain(a), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("%.60q is no address", s)
}
