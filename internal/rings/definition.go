package rings

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxRings bounds the rings of a box, those of the setting and those made through the
	// API.
	MaxRings = 16
	// maxDelay is less than a suite's past is kept in the catalog.
	maxDelay = 28 * 24 * time.Hour
	// maxRanges bounds the ranges of clients of one ring.
	maxRanges = 64
)

// Definition says what a ring is.
type Definition struct {
	Name string
	// After is the ring whose generations this one gets, "" for what is in force; Delay is
	// how long that must have had them.
	After    string
	Delay    time.Duration
	Security bool           // suites whose name says security get what is in force at once
	Clients  []netip.Prefix // who is served by this ring without asking for it
}

// Definitions are all rings of a setting.
type Definitions []Definition

var ringName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Parse reads the setting: rings separated by semicolons, each a name and what follows
// it:
//
//	canary; prod after=canary delay=3d security=now clients=10.1.0.0/16,10.2.3.4
func Parse(s string) (all Definitions, err error) {
	for text := range strings.SplitSeq(s, ";") {
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		d := Definition{Name: words[0]}
		for _, word := range words[1:] {
			if err := d.set(word); err != nil {
				return nil, fmt.Errorf("ring %.40q: %w", d.Name, err)
			}
		}
		all = append(all, d)
	}
	return all, all.Check()
}

func (d *Definition) set(word string) (err error) {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "after":
		d.After = value
	case "delay":
		d.Delay, err = ParseDelay(value)
	case "security":
		if d.Security = value == "now"; !d.Security {
			err = fmt.Errorf("security=%.40s; the only other thing that it may be is security=now", value)
		}
	case "clients":
		for part := range strings.SplitSeq(value, ",") {
			p, fault := ParseRange(part)
			if fault != nil {
				return fault
			}
			d.Clients = append(d.Clients, p)
		}
	default:
		err = fmt.Errorf("%.40q is none of after=RING, delay=3d, security=now and clients=RANGES", word)
	}
	return err
}

// ParseDelay reads a number of days, hours or minutes, or several of them: 3d, 1d12h.
func ParseDelay(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}
	var sum time.Duration
	for rest := s; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 || i > 6 || units[rest[i]] == 0 {
			return 0, fmt.Errorf("a delay of %.40q; write 3d, 12h or 1d12h", s)
		}
		n, _ := strconv.Atoi(rest[:i]) // at most six digits
		if sum += time.Duration(n) * units[rest[i]]; sum > maxDelay {
			return 0, fmt.Errorf("a delay of %.40q; at most %d days, since what archives had before is not kept much longer", s, int(maxDelay.Hours()/24))
		}
		rest = rest[i+1:]
	}
	if s == "" {
		return 0, errors.New("a delay without a number; write 3d, 12h or 1d12h")
	}
	return sum, nil
}

// ParseRange reads a range of clients, or the address of one.
func ParseRange(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%.60q is neither an address nor a range such as 10.1.0.0/16", s)
	}
	return p, nil
}

// Check returns what is wrong with rings that are to exist side by side.
func (all Definitions) Check() error {
	if len(all) > MaxRings {
		return fmt.Errorf("%d rings; a box has %d at most", len(all), MaxRings)
	}
	named := make(map[string]Definition)
	ranges := make(map[netip.Prefix]string)
	for _, d := range all {
		if !ringName.MatchString(d.Name) {
			return fmt.Errorf("ring %.40q: a name consists of up to 32 lower-case letters, digits and hyphens", d.Name)
		}
		if _, twice := named[d.Name]; twice {
			return fmt.Errorf("ring %s: there are two of this name", d.Name)
		}
		named[d.Name] = d
		if len(d.Clients) > maxRanges {
			return fmt.Errorf("ring %s: more than %d ranges of clients", d.Name, maxRanges)
		}
		for _, p := range d.Clients {
			if other := ranges[p]; other != "" && other != d.Name {
				return fmt.Errorf("rings %s and %s: both have the clients %v", other, d.Name, p)
			}
			ranges[p] = d.Name
		}
	}
	for _, d := range all {
		if err := all.checkAfter(d); err != nil {
			return err
		}
	}
	return nil
}

// checkAfter follows the rings that d comes after.
func (all Definitions) checkAfter(d Definition) error {
	at := d
	for range all {
		if at.After == "" {
			return nil
		}
		i := slices.IndexFunc(all, func(o Definition) bool { return o.Name == at.After })
		if i < 0 {
			return fmt.Errorf("ring %s: it comes after %.40q, which is no ring", at.Name, at.After)
		}
		at = all[i]
	}
	return fmt.Errorf("ring %s: it comes after itself", d.Name)
}
