package apt

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// fault is one way in which a mirror can be at fault, and what a client that
// meets it does.
type fault struct {
	name  string
	suite aptest.Suite
	// strike makes the mirror misbehave.
	strike func(*scene)
	// prepare makes the mirror what clients that came before found, in which the
	// box of the third column has served one; nil for an honest mirror.
	prepare func(*scene)
	// packages says that the client installs, too, and not only updates.
	packages bool
	listen   string // of its mirrors, as aptest has it
	retries  int    // of apt, without a pause between them
	defaults bool   // apt has its own retries, and pauses
	timeout  int    // seconds, of apt; 30 if 0, as its default
	waits    bool   // for most of its time
	act      func(*scene, *visit)
	// What clients of a box must have that holds nothing, or all.
	cold, warm want
	// slower is how much longer than direct a client of the box may take;
	// usually if 0.
	slower time.Duration
	// others are sources of later clients than the first one.
	others []string
}

// want is what a client must have in the end.
type want int

const (
	// usual is complete where the box holds all, else asDirect.
	usual want = iota
	// complete: all files, and no error.
	complete
	// asDirect: at least what a client without a box has.
	asDirect
	// refused: an error. The mirror went back to an older Release, which does not
	// replace the held one, and has no more what only that one lists.
	refused
)

// must is what a client has to have in the end.
func (f fault) must(w column) want {
	switch {
	case w == warm && f.warm != usual:
		return f.warm
	case w == warm:
		return complete
	case f.cold != usual:
		return f.cold
	}
	return asDirect
}

// usually is for a busy machine: a box that waits for something, or tries
// again, takes some seconds in the least.
const usually = 8 * time.Second

// mayTake is how much longer than direct a client of the box may take.
func (f fault) mayTake() time.Duration { return cmp.Or(f.slower, usually) }

// column is how a client meets a fault.
type column int

const (
	alone column = iota // without a box
	cold                // through a box that has not seen the archive
	warm                // through one that holds the suite and the packages
	columnCount
)

var columnNames = [columnCount]string{"direct", "cold", "warm"}

// scene is the archive of one client, at fault.
type scene struct {
	builder
	*place
	archive *aptest.Archive
	mirror  *aptest.Mirror
	form    form
	box     *box.Box
	// The generation that the mirror has, and the one before.
	current, former *aptest.Generation
}

// publish publishes another generation on the mirror.
func (s *scene) publish() *aptest.Generation {
	s.add(s.archive, aptest.Package{Name: "news", Version: "1.0-1", Size: 1000})
	g := s.archive.Publish(published)
	s.mirror.Publish("/debian", g)
	return g
}

// put puts a file of a generation in the place of what the mirror has.
func (s *scene) put(g *aptest.Generation, name string) {
	s.mirror.Put("/debian/"+name, g.File(name), g.Time)
}

// inject has the mirror misbehave for paths that match.
func (s *scene) inject(pattern string, faults ...aptest.Fault) *aptest.Injection {
	return s.mirror.Inject(pattern, faults...)
}

// newcomer is a client with nothing in it.
func (f fault) newcomer(s *scene) *visit {
	v := s.newVisit(s.T, s.T, s.form, s.box)
	v.out = new(strings.Builder)
	if f.timeout != 0 {
		v.client.Set("Acquire::http::Timeout", fmt.Sprint(f.timeout))
	}
	v.client.Set("Acquire::Retries", fmt.Sprint(f.retries))
	v.client.Set("Acquire::Retries::Delay", "false")
	if f.defaults {
		v.client.Set("Acquire::Retries", "3")
		v.client.Set("Acquire::Retries::Delay", "true")
	}
	return v
}

// use is what a client does.
func (f fault) use(v *visit) {
	v.apt("update")
	if f.packages {
		v.apt("install", "--download-only", "one", "two")
	}
}

// outcome is how a client fared.
type outcome struct {
	printed  string
	exit     string // of each program, until one failed
	complete bool
	took     time.Duration
	requests int64 // of the mirror
	address  string
	sent     map[string]bool // statuses, by the mirror
}

// meet has a client meet the fault in one way. Its mirrors outlive it, so that
// no other mirror has their addresses.
func (f fault) meet(t, life *testing.T, w column, b *box.Box) outcome {
	suite := f.suite
	if suite.Compressions == nil {
		// As Debian's archive: few, which is what apt tries one after the other.
		suite.Compressions, suite.NoPDiffs = []string{"xz"}, true
	}
	a := aptest.NewArchive(trusted, suite)
	bld := builder{t, life, f.listen}
	// So that no other architecture has the same index.
	bld.add(a, aptest.Package{Name: "three", Version: "1.0-1", Arch: "amd64", Size: 1000})
	s := &scene{builder: bld, place: bld.at("/debian", a), archive: a}
	s.mirror = s.mirrors[0]
	if w != alone {
		s.form, s.box = byProxy, b
	}
	if f.prepare != nil {
		f.prepare(s)
	}
	if w == warm {
		f.fill(s)
	}
	if f.others != nil {
		s.sources = f.others
	}
	f.strike(s)
	s.resetCost()
	v := f.newcomer(s)
	begun := time.Now()
	if f.act != nil {
		f.act(s, v)
	} else {
		f.use(v)
	}
	o := outcome{took: time.Since(begun), requests: s.cost().requests, address: s.mirror.Addr(), sent: s.sent()}
	o.printed = v.printed()
	o.exit = strings.Join(exits.FindAllString(o.printed, -1), ", ")
	o.complete = !strings.Contains(o.exit, "exit 1") && f.has(v)
	return o
}

// fill has the box serve a client, which gets all there is, as what came before
// the fault allows.
func (f fault) fill(s *scene) {
	v := f.newcomer(s)
	f.use(v)
	if f.prepare == nil && !f.has(v) {
		s.T.Fatalf("before the fault a client has not all:\n%s", v.out)
	}
}

// sent are the statuses of the mirror's answers.
func (s *scene) sent() map[string]bool {
	all := map[string]bool{}
	for _, m := range s.mirrors {
		for _, r := range m.Log() {
			all[fmt.Sprint(r.Status)] = true
		}
	}
	return all
}

var exits = regexp.MustCompile(`(?m)^exit \d+`)

// has reports whether a client has all that it wanted.
func (f fault) has(v *visit) bool {
	indices, _ := filepath.Glob(filepath.Join(v.client.Root, "var/lib/apt/lists/*_Packages"))
	for _, index := range indices {
		data, err := os.ReadFile(index)
		if err != nil || !strings.Contains(string(data), "Package: ") {
			return false
		}
	}
	// deb URL suite component…
	if len(indices) != len(strings.Fields(v.place.sources[0]))-3 {
		return false
	}
	packages, _ := filepath.Glob(filepath.Join(v.client.Root, "var/cache/apt/archives/*.deb"))
	return !f.packages || len(packages) == 2
}

// answer is what apt prints beneath the name of a file that it did not get: a
// status and a reason, or what it found fault with.
var answer = regexp.MustCompile(`(?m)^(?:Err|Ign) .*\n  (?:(\d{3})  )?(.*)$`)

// status is the first one that apt printed, "" if the answer was none of HTTP.
func (o outcome) status() (code, reason string) {
	m := answer.FindStringSubmatch(o.printed)
	if m == nil {
		return "", ""
	}
	return m[1], m[2]
}

// String is a cell of the table.
func (o outcome) String() string {
	result := "incomplete"
	if o.complete {
		result = "complete"
	}
	s := fmt.Sprintf("%s, %s, %.1f s, %d requests", strings.ReplaceAll(o.exit, "exit ", ""), result, o.took.Seconds(), o.requests)
	if o.complete {
		return s
	}
	code, reason := o.status()
	reason = strings.TrimSpace(code + " " + reason)
	return s + ", " + reason[:min(shortReason, len(reason))]
}

// problems tells where a client of the box fared worse than it must.
func (f fault) problems(w column, got, direct outcome) []string {
	var all []string
	say := func(format string, args ...any) {
		all = append(all, columnNames[w]+": "+fmt.Sprintf(format, args...))
	}
	switch {
	case got.complete:
	case f.must(w) == refused && strings.Contains(got.exit, "exit 1"):
	case f.must(w) == complete:
		say("has not all files: %s", got)
	case got.exit != direct.exit || direct.complete:
		say("ends with %s, direct with %s", got, direct)
	}
	if slower := f.mayTake(); got.took > direct.took+slower {
		say("took %v, direct %v: more than %v longer", got.took, direct.took, slower)
	}
	if most := 3*direct.requests + 3; got.requests > most {
		say("the mirror had %d requests, more than %d", got.requests, most)
	}
	if got.complete || direct.complete {
		return all
	}
	code, reason := got.status()
	directCode, _ := direct.status()
	switch {
	case code == "", got.sent[code], code == "410": // the last: of a generation that is gone
	case directCode != "" && directCode[0] != '3':
		say("apt prints status %s, direct %s", code, directCode)
	case code != "502" && code != "504":
		say("apt prints status %s %s, where direct finds fault with the mirror", code, reason)
	case !strings.Contains(reason, got.address) && !strings.Contains(reason, "MIRROR"):
		say("the answer names no mirror: %s %s", code, reason)
	}
	return all
}
