package mirror

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestCheckAddresses(t *testing.T) {
	t.Parallel()
	refused := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
		"169.254.1.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.88.99.1",
		"192.168.1.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1",
		"2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::", "2001::1", "100::1",
		"fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "::ffff:10.0.0.1%eth0", "fec0::1", "ff02::1", "5f00::1", "4000::1",
	}
	var zero Policy
	for _, s := range refused {
		a := netip.MustParseAddr(s)
		err := zero.Check("mirror.example.net", 443, a)
		var r *RefusedError
		if !errors.As(err, &r) {
			t.Errorf("%s: %v, want a refusal", s, err)
			continue
		}
		if want := a.WithZone("").Unmap().String(); r.Addr != want || r.Host != "mirror.example.net" || r.Reason == "" {
			t.Errorf("%s: %+v, want address %s", s, r, want)
		}
	}
	for _, s := range []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.0.0.1", "128.0.0.1", "169.253.0.1",
		"172.15.0.1", "172.32.0.1", "192.0.2.1", "203.0.113.9", "192.167.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "::ffff:1.1.1.1",
		"2600::1", "2a00::1", "2001:4860::1", "64:ff9b::101:101", "2002:101:101::1",
	} {
		for _, port := range []int{80, 443} {
			if err := zero.Check("mirror.example.net", port, netip.MustParseAddr(s)); err != nil {
				t.Errorf("%s at %d: %v, want it allowed", s, port, err)
			}
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		allow   string // comma-separated
		host    string
		port    int
		addr    string
		setting string // that would allow it; empty if it is
	}{
		{"public, standard port", "", "deb.example.org", 80, "1.1.1.1", ""},
		{"public, odd port", "", "deb.example.org", 8080, "1.1.1.1", "deb.example.org:8080"},
		{"private", "", "deb.example.org", 80, "10.1.2.3", "deb.example.org"},
		{"private, odd port", "", "deb.example.org", 8080, "10.1.2.3", "deb.example.org:8080"},
		{"literal", "", "10.1.2.3", 80, "10.1.2.3", "10.1.2.3"},
		{"literal, odd port", "", "10.1.2.3", 8080, "10.1.2.3", "10.1.2.3:8080"},
		{"IPv6 literal", "", "fd00::1", 443, "fd00::1", "fd00::1"},
		{"IPv6 literal, odd port", "", "fd00::1", 8080, "fd00::1", "[fd00::1]:8080"},
		{"literal with a zone", "", "fe80::1%eth0", 8080, "fe80::1%eth0", "[fe80::1]:8080"},
		{"by name", "deb.example.org", "deb.example.org", 80, "10.1.2.3", ""},
		{"by name, any port", "deb.example.org", "deb.example.org", 3142, "10.1.2.3", ""},
		{"by name, other spelling", "Deb.Example.org", "DEB.example.ORG.", 80, "127.0.0.1", ""},
		{"not a subdomain", "example.org", "deb.example.org", 80, "10.1.2.3", "deb.example.org"},
		{"name and port", "deb.example.org:8080", "deb.example.org", 8080, "10.1.2.3", ""},
		{"name and port, another", "deb.example.org:8080", "deb.example.org", 8081, "1.1.1.1", "deb.example.org:8081"},
		{"name and port, standard", "deb.example.org:8080", "deb.example.org", 80, "10.1.2.3", "deb.example.org"},
		{"range", "10.0.0.0/8", "deb.example.org", 80, "10.1.2.3", ""},
		{"range, odd port", "10.0.0.0/8", "deb.example.org", 8080, "10.1.2.3", ""},
		{"range, outside", "10.0.0.0/8", "deb.example.org", 8080, "1.1.1.1", "deb.example.org:8080"},
		{"range, mapped", "10.0.0.0/8", "deb.example.org", 80, "::ffff:10.1.2.3", ""},
		{"range, by NAT64", "10.0.0.0/8", "deb.example.org", 80, "64:ff9b::a01:203", ""},
		{"range of IPv6", "fd00::/8", "deb.example.org", 80, "fd00::1", ""},
		{"range of IPv6, zone", "fe80::/10", "deb.example.org", 80, "fe80::1%eth0", ""},
		{"address", "10.1.2.3", "deb.example.org", 8080, "10.1.2.3", ""},
		{"address, another", "10.1.2.3", "deb.example.org", 80, "10.1.2.4", "deb.example.org"},
		{"address and port", "10.1.2.3:8080", "10.1.2.3", 8080, "10.1.2.3", ""},
		{"address and port, another", "10.1.2.3:8080", "10.1.2.3", 80, "10.1.2.3", "10.1.2.3"},
		{"IPv6 address and port", "[fd00::1]:8080", "fd00::1", 8080, "fd00::1", ""},
		{"IPv6 in brackets", "[fd00::1]", "fd00::1", 8080, "fd00::1", ""},
		{"several", "192.168.0.0/16, deb.example.org:81", "deb.example.org", 81, "10.1.2.3", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var allow []string
			if tt.allow != "" {
				allow = strings.Split(tt.allow, ",")
			}
			err := mustPolicy(t, allow...).Check(tt.host, tt.port, netip.MustParseAddr(tt.addr))
			if tt.setting == "" {
				if err != nil {
					t.Fatalf("got %v, want it allowed", err)
				}
				return
			}
			var r *RefusedError
			if !errors.As(err, &r) || r.Setting != "MILLPOND_ALLOW_UPSTREAMS="+tt.setting || !strings.Contains(err.Error(), r.Setting) {
				t.Fatalf("got %v, want it refused unless %s", err, tt.setting)
			}
			// The cure is a cure.
			cured := mustPolicy(t, append(allow, tt.setting)...)
			if err := cured.Check(tt.host, tt.port, netip.MustParseAddr(tt.addr)); err != nil {
				t.Errorf("with %s: %v", tt.setting, err)
			}
		})
	}
}

// TestSiteNAT64 holds that an address of a site's own NAT64 (RFC 8215) is allowed
// only if every IPv4 address that it may stand for is, since what a gateway reads
// from it depends on a prefix that the box does not know.
func TestSiteNAT64(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, allow, addr string
		port              int
		refused           string // what the reason says; empty if it is allowed
	}{
		// 8.8.4.4 in each format of RFC 6052.
		{"/48", "", "64:ff9b:1:808:4:400::", 80, ""},
		{"/56", "", "64:ff9b:1:8:8:404::", 80, ""},
		{"/64", "", "64:ff9b:1:0:8:804:400:0", 443, ""},
		{"/96", "", "64:ff9b:1::808:404", 443, ""},
		{"/96 of another number", "", "64:ff9b:1:1::808:404", 80, ""},
		// 10.0.1.2 in each, of which only the gateway knows the format.
		{"private, /48", "", "64:ff9b:1:a00:1:200::", 80, "a private address"},
		{"private, /56", "", "64:ff9b:1:a:0:102::", 80, "a private address"},
		{"private, /64", "", "64:ff9b:1:0:a:1:200:0", 80, "a private address"},
		{"private, /96", "", "64:ff9b:1::a00:102", 80, "a private address"},
		// A name server may fill what a gateway does not read.
		{"private, /48, with a public suffix", "", "64:ff9b:1:a00:1:200:808:404", 80, "a private address"},
		{"private, /56, with a public suffix", "", "64:ff9b:1:a:0:102:808:404", 80, "a private address"},
		{"private, /48, with a full octet between", "", "64:ff9b:1:a00:ff01:200:808:404", 80, "a private address"},
		{"loopback", "", "64:ff9b:1::7f00:1", 80, "a loopback address"},
		{"metadata", "", "64:ff9b:1::a9fe:a9fe", 80, "the metadata service"},
		{"nothing", "", "64:ff9b:1::", 80, "an unspecified address"},
		{"0.0.0.1", "", "64:ff9b:1::1", 80, "an unspecified address"},
		{"odd port", "", "64:ff9b:1::808:404", 8080, "neither 80 nor 443"},
		{"range", "10.0.0.0/8", "64:ff9b:1::a00:102", 8080, ""},
		{"range, /48", "10.0.0.0/8", "64:ff9b:1:a00:1:200::", 80, ""},
		{"address and port", "10.0.1.2:8080", "64:ff9b:1::a00:102", 8080, ""},
		{"address and port, another", "10.0.1.2:8080", "64:ff9b:1::a00:102", 80, "a private address"},
		{"range of one of two", "10.0.0.0/8", "64:ff9b:1:a00:1:200:c0a8:1", 80, "a private address"},
		{"range of one, the other public", "10.0.0.0/8", "64:ff9b:1:a00:1:200:808:404", 8080, "neither 80 nor 443"},
		{"the site's prefix", "64:ff9b:1:fffe::/96", "64:ff9b:1:fffe::808:404", 80, ""},
		{"next to the prefix", "", "64:ff9b:2::808:404", 80, "an address of no public network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var allow []string
			if tt.allow != "" {
				allow = strings.Split(tt.allow, ",")
			}
			err := mustPolicy(t, allow...).Check("deb.example.org", tt.port, netip.MustParseAddr(tt.addr))
			var r *RefusedError
			switch {
			case tt.refused == "" && err != nil:
				t.Errorf("got %v, want it allowed", err)
			case tt.refused != "" && (!errors.As(err, &r) || !strings.Contains(r.Reason, tt.refused)):
				t.Errorf("got %v, want a refusal: %s", err, tt.refused)
			}
		})
	}
}

// FuzzSiteNAT64 holds that no bits around a private address open it, whatever the
// length of the site's prefix is.
func FuzzSiteNAT64(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 2, 8, 8, 4, 4})
	f.Add([]byte{8, 8, 0, 4, 4, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 10 {
			return
		}
		for _, at := range [][4]int{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}} {
			a := [16]byte{0, 0x64, 0xff, 0x9b, 0, 1}
			copy(a[6:], b)
			a[at[0]] = 10
			if err := new(Policy).Check("deb.example.org", 80, netip.AddrFrom16(a)); err == nil {
				t.Errorf("%v passes", netip.AddrFrom16(a))
			}
		}
	})
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	p := mustPolicy(t, "mirror.example.net:8080")
	for _, tt := range []struct {
		host string
		port int
		ok   bool
	}{
		{"deb.example.org", 80, true},
		{"deb.example.org", 443, true},
		{"deb.example.org", 22, false},
		{"mirror.example.net", 8080, true},
		{"mirror.example.net", 8081, false},
		{"10.1.2.3", 80, false},
		{"::1", 80, false},
		{"1.1.1.1", 80, true},
		{"1.1.1.1", 25, false},
	} {
		if err := p.CheckName(tt.host, tt.port); (err == nil) != tt.ok {
			t.Errorf("%s at %d: %v, want allowed %v", tt.host, tt.port, err, tt.ok)
		}
	}
	// Its addresses may be in the range.
	if err := mustPolicy(t, "10.0.0.0/8").CheckName("deb.example.org", 8080); err != nil {
		t.Error(err)
	}
}

func TestParsePolicyFaults(t *testing.T) {
	t.Parallel()
	bad := []string{
		"", " ", "http://deb.example.org", "deb.example.org/debian", "10.0.0.0/33", "10.1.2.3/8", "::ffff:10.0.0.0/104",
		"deb.example.org:0", "deb.example.org:65536", "deb.example.org:http", "deb.example.org:", ":80", "*.example.org",
		"deb..example.org", "10.1.2", "256.1.1.1", "10.1.2.3:x", "[10.1.2.3]:80", "[fd00::1", "[fd00::1]x", "fe80::1%eth0",
		"[deb.example.org]", "fd00::1::2", "a b", "/*", "*/*", "deb.example.org/*/*", "deb.example.org/x/*", "10.0.0.0/8/*", strings.Repeat("a", 300),
	}
	_, err := ParsePolicy(append(bad, "deb.example.org", "10.0.0.0/8"))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want several faults", err)
	}
	faults := joined.Unwrap()
	if len(faults) != len(bad) {
		t.Fatalf("%d faults, want %d:\n%v", len(faults), len(bad), err)
	}
	for i, f := range faults {
		if !strings.Contains(f.Error(), `"`+bad[i]+`"`) || !strings.HasPrefix(f.Error(), "MILLPOND_ALLOW_UPSTREAMS") {
			t.Errorf("fault %q does not name %q", f, bad[i])
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{"deb.example.org", "h:80", "10.0.0.0/8", "10.1.2.3", "[fd00::1]:80", "[::1]", "::1", "fe80::1%x", "::ffff:1.2.3.4", "a:b:c", "[", "]:1", "1.2.3.4:5/6", "h/*", "[::1]:80/*"} {
		f.Add(s)
	}
	public := netip.MustParseAddr("1.1.1.1")
	f.Fuzz(func(t *testing.T, entry string) {
		p, err := ParsePolicy([]string{entry})
		if err != nil {
			if p != nil {
				t.Error("a policy beside an error")
			}
			return
		}
		set := p.now().set
		if len(set.names)+len(set.ranges) != 1 {
			t.Errorf("%q gave %d names and %d ranges, want one in all", entry, len(set.names), len(set.ranges))
		}
		// No entry takes away, and none allows a host by name that it is not.
		if err := p.Check("deb.example.org", 80, public); err != nil {
			t.Error(err)
		}
		if len(set.names) == 1 && canonical(strings.TrimSpace(entry)) != "deb.example.org" &&
			!strings.HasPrefix(canonical(strings.TrimSpace(entry)), "deb.example.org") &&
			p.Check("deb.example.org", 80, netip.MustParseAddr("10.1.2.3")) == nil {
			t.Errorf("%q allows deb.example.org", entry)
		}
	})
}
