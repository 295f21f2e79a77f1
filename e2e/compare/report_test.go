package compare

import (
	"strings"
	"testing"
)

// known are results of two rounds, whose medians are the means.
func known() *results {
	r := &results{rounds: 2}
	for _, rounds := range []struct {
		subject string
		rate    []float64
		p99     []float64
	}{
		{millpond, []float64{80, 100}, []float64{2, 4}},
		{"nginx", []float64{100, 100}, []float64{2, 2}},
		{"squid", []float64{40, 60}, []float64{1, 1}},
	} {
		for i := range rounds.rate {
			r.note("held: 32 connections", rounds.subject, figures{"rate": rounds.rate[i], "p99": rounds.p99[i]})
		}
	}
	return r
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name    string
		target  target
		reached float64
		met     bool
	}{
		{"at least, met", target{measure: "rate", against: "nginx", limit: 0.9, atLeast: true}, 0.9, true},
		{"at least, missed", target{measure: "rate", against: "nginx", limit: 0.91, atLeast: true}, 0.9, false},
		{"at most, missed", target{measure: "p99", against: "nginx", limit: 1.4}, 1.5, false},
		{"at most, met by what is added", target{measure: "p99", against: "nginx", limit: 1.4, plus: 0.3}, 1.5, true},
		{"the best by rate", target{measure: "rate", against: best, limit: 0.9, atLeast: true}, 0.9, true},
		{"the best by time", target{measure: "p99", against: best, limit: 3}, 3, true},
		{"absolute", target{measure: "p99", limit: 2.9}, 3, false},
	} {
		c.target.work = "held: 32 connections"
		v, err := known().judge(c.target)
		if err != nil || v.reached != c.reached || v.met != c.met {
			t.Errorf("%s: reached %v, met %t, %v; want %v, %t", c.name, v.reached, v.met, err, c.reached, c.met)
		}
	}
	for _, missing := range []target{{work: "other", measure: "rate"}, {work: "held: 32 connections", measure: "seconds"}, {work: "held: 32 connections", measure: "rate", against: "direct"}} {
		if v, err := known().judge(missing); err == nil {
			t.Errorf("a target without figures, %+v, was judged: %+v", missing, v)
		}
	}
}

func TestPage(t *testing.T) {
	r := known()
	r.describe("held: 32 connections", "One file.")
	r.expect(target{work: "held: 32 connections", measure: "rate", against: "nginx", limit: 0.95, atLeast: true, what: "rate of nginx"})
	former := "old\n" + reasonsBegin + "The mirror is slow.\n" + reasonsEnd + "old\n"
	page, err := r.page([]fact{{"kernel", "6.1"}}, former)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"0 of 1 are met.",
		"| held: 32 connections | rate of nginx | ≥ 0.95 | 0.90 | **missed** |",
		"### held\n\nOne file.\n",
		"| | | requests/s | p99, ms |\n",
		"| 32 connections | millpond | 90.0 (0.90) | 3.00 (1.50) |\n|  | nginx | 100 (1.00) | 2.00 (1.00) |\n|  | squid | 50.0 (0.50) | 1.00 (0.50) |\n",
		"| kernel | 6.1 |",
		reasonsBegin + "The mirror is slow.\n" + reasonsEnd,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks\n%s\n\nit is\n%s", want, page)
		}
	}
	if strings.Contains(page, "old\n") {
		t.Error("the page has more than the reasons of the former one")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.001234: "0.0012", 0.0456: "0.0456", 1.234: "1.23", 12.34: "12.3", 999.6: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}
