package rings

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse(" canary ;prod  after=canary delay=1d12h security=now clients=10.1.0.0/16,fd00::1,::ffff:10.2.3.4;; fixed delay=28d")
	want := Definitions{
		{Name: "canary"},
		{Name: "prod", After: "canary", Delay: 36 * time.Hour, Security: true, Clients: []netip.Prefix{
			netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::1/128"), netip.MustParsePrefix("10.2.3.4/32"),
		}},
		{Name: "fixed", Delay: 28 * 24 * time.Hour},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	many := make([]string, MaxRings+1)
	ranges := make([]string, maxRanges+1)
	for i := range many {
		many[i] = fmt.Sprint("r", i)
	}
	for i := range ranges {
		ranges[i] = fmt.Sprintf("10.0.0.%d", i)
	}
	for s, why := range map[string]string{
		"Prod":                  "lower-case",
		"prod.x":                "lower-case",
		strings.Repeat("a", 33): "32",
		"a; a":                  "two of this name",
		"a after=b":             "no ring",
		"a after=b; b after=a":  "comes after itself",
		"a after=a":             "comes after itself",
		"a delay=":              "without a number",
		"a delay=3":             "write 3d",
		"a delay=d":             "write 3d",
		"a delay=-3d":           "write 3d",
		"a delay=9999999d":      "write 3d",
		"a delay=29d":           "at most 28 days",
		"a security=later":      "security=now",
		"a clients=":            "neither an address nor a range",
		"a clients=10.1.2.3/16": "neither an address nor a range",
		"a clients=10.0.0.1; b clients=10.0.0.1/32": "both have the clients",
		"a fast":                                 "none of after=RING",
		strings.Join(many, ";"):                  "at most",
		"a clients=" + strings.Join(ranges, ","): "more than 64 ranges",
	} {
		if _, err := Parse(s); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.60q: %v, want %q", s, err, why)
		}
	}
}

// FuzzParse holds that what the setting takes is sound, and means the same when it is
// written out again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "canary; prod after=canary delay=3d security=now clients=10.1.0.0/16", "a delay=1d2h3m4s;b after=a", "a after=a", "a clients=::/0", ";;="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := Parse(s)
		if err != nil {
			return
		}
		var again []string
		for _, d := range all {
			text := d.Name + fmt.Sprintf(" delay=%ds", int(d.Delay.Seconds()))
			if int(d.Delay.Seconds()) > 999_999 {
				text = d.Name + fmt.Sprintf(" delay=%dm%ds", int(d.Delay.Minutes()), int(d.Delay.Seconds())%60)
			}
			if d.After != "" {
				text += " after=" + d.After
			}
			if d.Security {
				text += " security=now"
			}
			for _, p := range d.Clients {
				text += " clients=" + p.String()
			}
			if d.Delay < 0 || d.Delay > maxDelay || strings.ContainsAny(d.Name, "/. ") {
				t.Errorf("%q: %+v", s, d)
			}
			again = append(again, text)
		}
		if got, err := Parse(strings.Join(again, ";")); err != nil || !reflect.DeepEqual(got, all) {
			t.Errorf("%q: %+v; written out %q: %+v, %v", s, all, again, got, err)
		}
	})
}

// FuzzTime holds that a time of a snapshot is one, and the same written out again.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"20260131T235959Z", "20260131", "20260231", "2026013", "20260131T235959+", "00000101"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseTime(s)
		if err != nil {
			return
		}
		if got := at.Format(TimeFormat); got != s && got != s+"T000000Z" {
			t.Errorf("%q is read as %s", s, got)
		}
	})
}
