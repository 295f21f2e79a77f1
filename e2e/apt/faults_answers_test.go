package apt

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"millpond/internal/aptest"
)

// allFaults are the rows of the table.
func allFaults() []fault {
	return slices.Concat(slowFaults(), awayFaults(), releaseFaults(), generationFaults(), signatureFaults(),
		redirectorFaults(), framingFaults(), resumeFaults(), statusFaults())
}

// What a mirror is at fault with.
const (
	releases = "*Release*"
	indices  = "*/binary-amd64/*"
	debs     = "*.deb"
)

// byName is a suite whose indices have no names by hash.
var byName = aptest.Suite{NoByHash: true}

// always makes the mirror answer so for all paths that match.
func always(pattern string, faults ...aptest.Fault) func(*scene) {
	return func(s *scene) { s.inject(pattern, faults...) }
}

// once makes the mirror answer so to one request.
func once(pattern string, faults ...aptest.Fault) func(*scene) {
	return func(s *scene) { s.mirror.InjectTimes(1, pattern, faults...) }
}

// both makes the mirror do one after the other.
func both(first, second func(*scene)) func(*scene) {
	return func(s *scene) {
		first(s)
		second(s)
	}
}

// portal is the page of a network that wants a login, with none of the file's
// headers.
func portal() []aptest.Fault {
	return []aptest.Fault{
		aptest.OtherBody([]byte("<html><body>Log in to use this network.</body></html>\n")),
		aptest.NoValidators(), aptest.Header("Content-Type", "text/html"),
	}
}

// statusFaults are final answers.
func statusFaults() []fault {
	var all []fault
	for _, code := range []int{400, 401, 403, 404, 408, 410, 429, 451, 500, 501, 502, 503, 504, 505, 508, 511, 599} {
		warm := complete
		if code == http.StatusUnauthorized {
			warm = asDirect // the archive wants logins now
		}
		all = append(all,
			fault{name: fmt.Sprintf("%d for Release files", code), strike: always(releases, aptest.Status(code)), warm: warm},
			fault{name: fmt.Sprintf("%d without a body for Release files", code), strike: always(releases, aptest.EmptyStatus(code)), warm: warm})
	}
	for _, code := range []int{403, 404, 429, 451, 500, 503, 505} {
		all = append(all,
			fault{name: fmt.Sprintf("%d for indices", code), strike: always(indices, aptest.Status(code))},
			fault{name: fmt.Sprintf("%d for packages", code), strike: always(debs, aptest.Status(code)), packages: true})
	}
	return append(all,
		fault{name: "503 without a body for indices", strike: always(indices, aptest.EmptyStatus(503))},
		fault{name: "503 without a body for packages", strike: always(debs, aptest.EmptyStatus(503)), packages: true},
		fault{name: "429 with Retry-After once for Release files", strike: once(releases, aptest.Status(429, "Retry-After", "1"))},
		fault{name: "503 with Retry-After once for a package", strike: once(debs, aptest.Status(503, "Retry-After", "1")), packages: true},
		fault{name: "503 with a long Retry-After for packages", strike: always(debs, aptest.Status(503, "Retry-After", "3600")), packages: true},
	)
}

// releaseFaults are wrong answers for Release files with a good status.
func releaseFaults() []fault {
	withoutLocation := aptest.Status(http.StatusFound)
	return []fault{
		{name: "404 once for InRelease", strike: once("*/InRelease", aptest.Status(404))},
		{name: "302 without Location for Release files", strike: always(releases, withoutLocation)},
		{name: "302 without Location for packages", strike: always(debs, withoutLocation), packages: true},
		{name: "portal page once for InRelease", strike: once("*/InRelease", portal()...)},
		{name: "portal page for all", strike: always("*", portal()...), packages: true},
		{name: "portal page with the file's validators for InRelease", strike: always("*/InRelease", aptest.OtherBody([]byte("<html></html>\n")))},
		{name: "302 to a portal page for all", packages: true, strike: func(s *scene) {
			other := s.builder.mirror(aptest.MirrorOptions{Listen: "127.0.0.2:0"})
			other.Inject("*", portal()...)
			s.inject("*", aptest.Redirect(other.URL("/login")))
		}},
		{name: "portal page for indices", strike: always(indices, portal()...)},
		{name: "portal page for packages", strike: always(debs, portal()...), packages: true},
		{name: "damaged InRelease", strike: always("*/InRelease", aptest.Corrupt(300, 4), aptest.NoValidators())},
		{name: "InRelease that ends early", strike: always("*/InRelease", aptest.Shorter(100), aptest.NoValidators())},
		{name: "damaged index", strike: always(indices, aptest.Corrupt(30, 4))},
		{name: "damaged packages", strike: always(debs, aptest.Corrupt(300, 4)), packages: true},
		{name: "damaged package once", strike: once(debs, aptest.Corrupt(300, 4)), packages: true},
		{name: "index that is too long", strike: always(indices, aptest.Longer(10))},
		{name: "package that is too short", strike: always(debs, aptest.Shorter(10)), packages: true},
	}
}

// slowFaults are about the time to the first byte, and a file's pace.
func slowFaults() []fault {
	const slow = 20 * time.Second
	delayed := func(pattern string) func(*scene) { return always(pattern, aptest.Delay(slow)) }
	return []fault{
		{name: "InRelease begins after 20 s", strike: delayed("*/InRelease"), waits: true},
		{name: "index begins after 20 s", strike: delayed(indices), waits: true},
		{name: "package begins after 20 s", strike: delayed("*one_*.deb"), packages: true, waits: true},
		{name: "other files while a package begins after 20 s", strike: delayed("*one_*.deb"), packages: true, waits: true, act: besides},
		{name: "package of 15 s", strike: always("*one_*.deb", aptest.Slow(200)), packages: true, waits: true},
		{name: "InRelease pauses for 15 s", strike: paused("*/InRelease", 500), waits: true},
		{name: "package pauses for 15 s", strike: paused("*one_*.deb", 500), packages: true, waits: true},
		{name: "index sends a header, and its first byte after 15 s", strike: paused(indices, 0), waits: true},
		{name: "Release files never begin", strike: always(releases, aptest.Hold()), waits: true, timeout: 20},
		{name: "packages never begin", strike: always(debs, aptest.Hold()), packages: true, waits: true, timeout: 5},
		{name: "package stops in the middle", strike: always("*one_*.deb", aptest.Stall(500)), packages: true, waits: true, timeout: 10,
			slower: 15 * time.Second}, // apt asks again where it had no byte, and the box verifies before it sends one
	}
}

// paused stops the first request in the middle of the file, for a while.
func paused(pattern string, after int64) func(*scene) {
	return func(s *scene) {
		stall := s.inject(pattern, aptest.Stall(after))
		go func() {
			if stall.Await(s.T.Context(), 1) == nil {
				time.Sleep(15 * time.Second)
				stall.Release()
			}
		}()
	}
}

// besides asks for a slow package and, when a box may have lost patience with its
// mirror, for another one as another client.
func besides(s *scene, v *visit) {
	other := fault{}.newcomer(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(17 * time.Second)
		other.apt("update")
		other.apt("install", "--download-only", "two")
	}()
	v.apt("update")
	v.apt("install", "--download-only", "one")
	<-done
	v.out.WriteString(other.out.String())
	v.apt("install", "--download-only", "two")
}

// awayFaults are about connections.
func awayFaults() []fault {
	return []fault{
		// At an address of its own: the box leaves the port alone for a while, which
		// another row's mirror may get.
		{name: "connections refused", listen: "127.0.0.9:0", strike: func(s *scene) { s.mirror.Down() }, packages: true},
		{name: "connections closed without an answer", strike: always("*", aptest.Drop()), packages: true},
		{name: "one connection closed without an answer", strike: once("*.deb", aptest.Drop()), packages: true},
		{name: "every second connection closed without an answer", packages: true, retries: 2, strike: always("*", aptest.InTurn(aptest.Drop(), nil))},
		{name: "client that half-closes", packages: true, strike: always("*/InRelease", aptest.Delay(300*time.Millisecond)), act: halfClose},
		{name: "connection closed after each answer", strike: always("*", aptest.CloseAfterEach()), packages: true},
	}
}

// halfClose asks and says that no more will come, as some programs do.
func halfClose(s *scene, v *visit) {
	const script = `my ($to, $url) = @ARGV; my $s = IO::Socket::INET->new($to) or die;
		print $s "GET $url HTTP/1.1\r\nHost: archive\r\nConnection: close\r\n\r\n"; $s->flush; shutdown($s, 1);
		exit(<$s> =~ / 200 / ? 0 : 1)`
	to := s.mirror.Addr()
	if s.box != nil {
		to = strings.TrimPrefix(s.box.URL, "http://")
	}
	v.run("perl", "-MIO::Socket::INET", "-e", script, to, s.mirror.URL("/debian/dists/stable/InRelease"))
	fault{packages: true}.use(v)
}
