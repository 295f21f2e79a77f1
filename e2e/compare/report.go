package compare

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The page has a section that is written by hand, which a new run leaves as it is.
const (
	reasonsBegin = "<!-- reasons: written by hand, kept by `make bench` -->\n"
	reasonsEnd   = "<!-- /reasons -->\n"
)

// picture is the name of the picture beside the page.
const picture = "benchmarks.svg"

// page writes docs/benchmarks.md. former is the page that it replaces, of which the reasons are
// kept.
func (r *results) page(facts []fact, former string) (string, error) {
	var b strings.Builder
	b.WriteString(intro)
	if len(r.panels) > 0 {
		fmt.Fprintf(&b, "![Requests per second of each subject, by connections and by files held](%s)\n\n", picture)
	}
	if err := r.writeTargets(&b, reasons(former)); err != nil {
		return "", err
	}
	rounds := fmt.Sprintf("Medians of %d rounds", r.rounds)
	if r.rounds == 1 {
		rounds = "Of one round"
	}
	fmt.Fprintf(&b, "## Figures\n\n%s. In brackets: the ratio to the subject whose ratio is 1.\n\n", rounds)
	for _, g := range r.tables() {
		r.writeTable(&b, g)
	}
	fmt.Fprintf(&b, method, r.each)
	b.WriteString("## What it ran on\n\n| | |\n|---|---|\n")
	for _, f := range facts {
		fmt.Fprintf(&b, "| %s | %s |\n", f.name, f.value)
	}
	b.WriteString(repeat)
	return b.String(), nil
}

const intro = "---\nhide:\n  - toc\n---\n\n# Benchmarks\n\n" +
	"The box beside nginx's `proxy_cache`, apt-cacher-ng and squid, all on one machine in one run. A bare\n" +
	"net/http server of the same files is the limit of Go's standard library. `make bench` wrote this page.\n\n"

const method = "## Method\n\n" +
	"- The subjects take turns, and then again, so that what else the machine does hits them all. Only\n" +
	"  ratios within one run mean something.\n" +
	"- All is on loopback, with the load on the same processors. A turn of wrk, with one thread, takes %v.\n" +
	"- CPU time is that of all the subject's processes, before and after the turn, per request. Memory is what they\n" +
	"  have resident after it; pages that two processes share count twice.\n" +
	"- nginx has sendfile, tcp_nopush, open_file_cache and a worker for each processor; apt-cacher-ng and squid have\n" +
	"  their Debian packages' settings, and squid a cache on the disk that all fits in.\n" +
	"- Before a turn it was checked that each subject sends the right bytes, and afterwards that the box did not\n" +
	"  ask the mirror for what it holds.\n" +
	"- refused: answers of a status over 399. broken: connections. ended: the subject, which was started again.\n\n"

const repeat = "\n## Run it yourself\n\nOn Debian, in a checkout, with Go:\n\n" +
	"<!-- not tested: it takes an hour and a half; `make test` runs its short form, `make bench-short` -->\n" +
	"```sh\nmake bench\n```\n\n" +
	"It says which Debian packages are missing. The full run takes about an hour and a half, and 12 GB in `TMPDIR`.\n"

// reasons is the section that was written by hand.
func reasons(former string) string {
	_, rest, ok := strings.Cut(former, reasonsBegin)
	text, _, closed := strings.Cut(rest, reasonsEnd)
	if !ok || !closed {
		return ""
	}
	return text
}

func (r *results) writeTargets(b *strings.Builder, reasons string) error {
	var rows strings.Builder
	met := 0
	for _, t := range r.targets {
		v, err := r.judge(t)
		if err != nil {
			return err
		}
		result := "**missed**"
		if v.met {
			result = "met"
			met++
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s |\n", t.work, t.what, v.limits(), digits(v.reached), result)
	}
	fmt.Fprintf(b, "## Targets\n\n%d of %d are met.\n\n| work | of what | target | reached | |\n|---|---|---|---|---|\n%s\n%s%s%s\n",
		met, len(r.targets), rows.String(), reasonsBegin, reasons, reasonsEnd)
	return nil
}

// limits words what is wanted.
func (v verdict) limits() string {
	sign := "≤ "
	if v.atLeast {
		sign = "≥ "
	}
	if v.plus == 0 || v.against == "" {
		return sign + digits(v.allowed)
	}
	return fmt.Sprintf("%s%s (%s, and %s more)", sign, digits(v.allowed), digits(v.limit), digits(v.plus))
}

// table is a group of works, whose names are equal up to a colon.
type table struct {
	name  string
	works []*noted
}

func (r *results) tables() (all []*table) {
	for _, w := range r.works {
		name, _, _ := strings.Cut(w.name, ": ")
		i := slices.IndexFunc(all, func(t *table) bool { return t.name == name })
		if i < 0 {
			all, i = append(all, &table{name: name}), len(all)
		}
		all[i].works = append(all[i].works, w)
	}
	return all
}

func (r *results) writeTable(b *strings.Builder, t *table) {
	fmt.Fprintf(b, "### %s\n\n", t.name)
	if how := t.works[0].how; how != "" {
		b.WriteString(how + "\n\n")
	}
	columns := t.columns()
	varies := len(t.works) > 1 || strings.Contains(t.works[0].name, ": ")
	head, rule := "| |", "|---|"
	if varies {
		head, rule = "| | |", "|---|---|"
	}
	for _, c := range columns {
		head += " " + heading(c) + " |"
		rule += "--:|"
	}
	fmt.Fprintf(b, "%s\n%s\n", head, rule)
	reference := r.reference(t)
	for _, w := range t.works {
		for i, subject := range w.subjects {
			if varies {
				_, variant, _ := strings.Cut(w.name, ": ")
				if i > 0 {
					variant = ""
				}
				fmt.Fprintf(b, "| %s ", variant)
			}
			fmt.Fprintf(b, "| %s |", subject)
			for _, c := range columns {
				b.WriteString(" " + r.cell(w.name, subject, c, reference) + " |")
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
}

// plain are measures whose ratio says no more than another's, or nothing.
var plain = []string{"p50", "MB/s", "copies", "checks", "refused", "broken", "ended"}

// cell is a median and its ratio to that of the reference.
func (r *results) cell(work, subject, measure, reference string) string {
	m, ok := r.median(work, subject, measure)
	if !ok {
		return ""
	}
	to, ok := r.median(work, reference, measure)
	if !ok || to == 0 || slices.Contains(plain, measure) {
		return number(m)
	}
	return fmt.Sprintf("%s (%s)", number(m), digits(m/to))
}

// reference is the subject that the table's first target compares with, or else the second
// that has figures, since the first is the box.
func (r *results) reference(t *table) string {
	for _, want := range r.targets {
		if want.against != "" && slices.ContainsFunc(t.works, func(w *noted) bool { return w.name == want.work }) {
			if want.against == best {
				return r.best(want)
			}
			return want.against
		}
	}
	for _, s := range t.works[0].subjects {
		if s != millpond {
			return s
		}
	}
	return ""
}

// columns are the measures that some subject has, in the order of measures.
func (t *table) columns() []string {
	has := make(map[string]bool)
	for _, w := range t.works {
		for _, rounds := range w.rounds {
			for _, f := range rounds {
				for m := range f {
					has[m] = true
				}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(has), func(a, b string) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b)) })
}

func rank(measure string) int {
	for i, m := range measures {
		if m.name == measure {
			return i
		}
	}
	return len(measures)
}

func heading(measure string) string {
	if i := rank(measure); i < len(measures) {
		return measures[i].heading
	}
	return measure
}

// digits words a ratio with two decimals, or three digits.
func digits(v float64) string {
	if math.Abs(v) < 10 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return number(v)
}

// number words a figure with three digits or, from a hundred on, as a whole number.
func number(v float64) string {
	abs := math.Abs(v)
	switch {
	case v == 0:
		return "0"
	case abs >= 100:
		return grouped(int64(math.Round(v)))
	case abs < 0.01:
		return strconv.FormatFloat(v, 'g', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(abs)))), 64)
	}
}

// grouped writes an integer with a comma before each three digits.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
