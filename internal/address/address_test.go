package address

import (
	"net/netip"
	"testing"
)

func TestIsPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "203.0.113.9": true, "64:ff9b::101:101": true, "2002:101:101::1": true,
		"::ffff:1.1.1.1": true,

		"127.0.0.1": false, "10.1.2.3": false, "100.64.0.1": false, "169.254.169.254": false, "224.0.0.251": false,
		"::1": false, "fd00::1": false, "fe80::1%eth0": false, "::ffff:127.0.0.1": false, "3fff::1": true,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b:1::7f00:1": false, "2002:a00:1::1": false,
	} {
		if got := IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public %t, want %t", text, got, want)
		}
	}
}

// FuzzUnfit holds that an IPv4 address is treated alike in all its forms.
func FuzzUnfit(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{1, 1, 1, 1})
	f.Add([]byte{100, 64, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 4 {
			return
		}
		a := netip.AddrFrom4([4]byte(b))
		mapped := netip.AddrFrom16(a.As16())
		wrapped := [16]byte{0, 0x64, 0xff, 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}
		tunnelled := [16]byte{0x20, 0x02, b[0], b[1], b[2], b[3]}
		for _, d := range []netip.Addr{mapped, netip.AddrFrom16(wrapped), netip.AddrFrom16(tunnelled)} {
			to := Destinations(Plain(d))
			if got, want := Unfit(to[0]), Unfit(a); got != want || len(to) != 1 {
				t.Errorf("%v is %q, %v is %q", d, got, a, want)
			}
		}
		if std := a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified(); std && Unfit(a) == "" {
			t.Errorf("%v passes", a)
		}
	})
}
