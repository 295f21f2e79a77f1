package apt

import (
	"strings"

	"millpond/internal/aptest"
)

// Files of a suite.
const (
	binary    = "dists/stable/main/binary-amd64/Packages.xz"
	signature = "dists/stable/Release.gpg"
)

// generationFaults are mirrors in the middle of an update, or that go back.
func generationFaults() []fault {
	pair := byName
	pair.NoInRelease = true
	withoutETags := always(releases, aptest.NoETag())
	two := aptest.Suite{NoByHash: true, Components: []string{"main", "contrib"}}
	return []fault{
		{name: "new Release with the old index", suite: byName, strike: oldIndex},
		{name: "new Release with the old index, apt with its own retries", suite: byName, strike: oldIndex, defaults: true},
		{name: "new Release and Release.gpg with the old index", suite: pair, strike: oldIndex},
		{name: "new Release, its index by hash never comes", strike: both(newer, always(indices, aptest.Status(404)))},
		{name: "new Release, its index by name never comes", suite: byName, strike: both(newer, always(indices, aptest.Status(404)))},
		{name: "new Release, its index by hash comes at the third request", strike: func(s *scene) {
			s.publish()
			s.mirror.InjectTimes(2, indices, aptest.Status(404))
		}},
		{name: "new Release, connections closed for its index", strike: both(newer, always(indices, aptest.Drop()))},
		{name: "new Release, its index never begins", strike: both(newer, always(indices, aptest.Hold())), waits: true, timeout: 10},
		{name: "new index with the old Release", suite: byName, prepare: newer, strike: func(s *scene) {
			s.put(s.former, "dists/stable/InRelease")
		}},
		{name: "new Release between two requests", strike: func(s *scene) {
			s.mirror.OnRequest(func(r aptest.Request) {
				if strings.HasSuffix(r.Path, "/InRelease") {
					s.publish()
				}
			})
		}},
		{name: "former generation, whole", suite: byName, prepare: newer, strike: older},
		{name: "former generation, 304 without ETag", suite: byName, prepare: both(newer, withoutETags), strike: older},
		{name: "former generation, 304 without ETag, another component", suite: two, prepare: both(newerContrib, withoutETags),
			strike: older, warm: refused, others: []string{"deb MIRROR/debian stable main contrib"}},
		{name: "client with the new Release, another component, while an index is the old one", suite: two, strike: newerContrib,
			others: []string{"deb MIRROR/debian stable main contrib"}, act: roams},
		{name: "304 for all Release files", strike: always(releases, aptest.Status(304))},
	}
}

// oldIndex publishes a generation with the index of the former one.
func oldIndex(s *scene) {
	newer(s)
	s.put(s.former, binary)
}

// newer and older are two generations; what a client has met of the newer one,
// the mirror has no more.
func newer(s *scene) {
	s.former = s.archive.Publish(published)
	s.current = s.publish()
}

// newerContrib has another index of contrib, too, in the newer generation.
func newerContrib(s *scene) {
	extra := aptest.Package{Name: "extra", Version: "1.0-1", Component: "contrib", Size: 1000}
	s.add(s.archive, extra)
	s.former = s.archive.Publish(published)
	extra.Version = "1.0-2"
	s.add(s.archive, extra)
	s.current = s.publish()
}

// roams has a client get the new generation elsewhere, without a box, and then want
// one more component, when the mirror has lost a part of it.
func roams(s *scene, v *visit) {
	v.client.Sources(strings.ReplaceAll("deb MIRROR/debian stable main", "MIRROR", v.base))
	v.apt("update", "-o", "Acquire::http::Proxy=DIRECT")
	s.put(s.former, binary)
	v.client.Sources(strings.ReplaceAll(s.sources[0], "MIRROR", v.base))
	v.apt("update")
}

func older(s *scene) { s.mirror.Publish("/debian", s.former) }

// signatureFaults are about archives that sign beside their Release.
func signatureFaults() []fault {
	pair := byName
	pair.NoInRelease = true
	return []fault{
		{name: "new Release, Release.gpg gone", suite: pair, strike: func(s *scene) {
			s.publish()
			s.mirror.Delete("/debian/" + signature)
		}},
		{name: "new Release, Release.gpg of the old one", suite: pair, strike: stale},
		{name: "Release.gpg comes after a client met the old one", suite: pair, prepare: stale, strike: func(s *scene) {
			s.put(s.current, signature)
		}},
		{name: "Release.gpg comes after a client met none", suite: pair, prepare: func(s *scene) { s.mirror.Delete("/debian/" + signature) }, strike: func(s *scene) {
			s.mirror.Publish("/debian", s.archive.Publish(published))
		}},
		{name: "Release signed with another key", suite: pair, warm: asDirect, strike: func(s *scene) {
			s.archive.SignWith(stranger)
			s.publish()
		}},
		{name: "InRelease signed with another key", suite: byName, warm: asDirect, strike: func(s *scene) {
			s.archive.SignWith(stranger)
			s.publish()
		}},
		{name: "unsigned Release alone", suite: pair, warm: asDirect, strike: func(s *scene) {
			s.archive.SignWith()
			s.publish()
		}},
	}
}

// stale publishes a generation with the signature of the former one.
func stale(s *scene) {
	newer(s)
	s.put(s.former, signature)
}

// redirectorFaults send to other mirrors.
func redirectorFaults() []fault {
	lags := func(s *scene, second *aptest.Mirror) {
		newer(s)
		second.Publish("/debian", s.former)
	}
	empty := func(*scene, *aptest.Mirror) {}
	loop := func(pattern string) func(*scene) {
		return func(s *scene) { s.inject(pattern, aptest.Redirect(s.mirror.URL("/")+"*")) }
	}
	return []fault{
		{name: "redirector to an older mirror for indices", suite: byName, strike: redirector(lags, indices, true)},
		{name: "redirector to an older mirror for indices, by hash", strike: redirector(lags, indices, true)},
		{name: "redirector to an empty mirror for indices", suite: byName, strike: redirector(empty, indices, true)},
		{name: "redirector to an empty mirror once for a package", packages: true, cold: complete, strike: redirector(empty, "*one_*.deb", false)},
		{name: "redirect loop for all", packages: true, strike: loop("*")},
		{name: "redirect loop for packages", packages: true, strike: loop(debs)},
	}
}

// redirector sends requests to what the mirror has, and those for paths that
// match to a second mirror: always, or each second time.
func redirector(fill func(s *scene, second *aptest.Mirror), pattern string, always bool) func(*scene) {
	return func(s *scene) {
		first := s.builder.mirror(aptest.MirrorOptions{Listen: "127.0.0.3:0"})
		second := s.builder.mirror(aptest.MirrorOptions{Listen: "127.0.0.2:0"})
		fill(s, second)
		first.Publish("/debian", s.archive.Publish(published))
		s.mirrors = append(s.mirrors, first, second)
		to, or := aptest.Redirect(second.URL("/")+"*"), aptest.Redirect(first.URL("/")+"*")
		s.inject("*", or)
		if always {
			or = to
		}
		s.inject(pattern, aptest.InTurn(to, or))
	}
}
