package dashboard

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millpond/internal/catalog"
)

// maxSuiteMetrics is how many suites have series: those that clients used last.
const maxSuiteMetrics = 200

// Metrics of each suite, as times: a scraper knows its own clock, so that the age is
// time() less these.
var (
	suiteReleased = prometheus.NewDesc("millpond_suite_release_timestamp_seconds",
		"Date of the Release of a suite that is in force.", []string{"suite"}, nil)
	suiteChecked = prometheus.NewDesc("millpond_suite_checked_timestamp_seconds",
		"When a suite was last confirmed with its mirror.", []string{"suite"}, nil)
	suiteFresh = prometheus.NewDesc("millpond_suite_fresh",
		"1 if a suite's mirror had nothing newer when last asked, 0 if it could not be asked, or the Release has expired.", []string{"suite"}, nil)
)

func (c *collector) describeSuites(ch chan<- *prometheus.Desc) {
	ch <- suiteReleased
	ch <- suiteChecked
	ch <- suiteFresh
}

// collectSuites leaves out what is not known.
func (c *collector) collectSuites(ch chan<- prometheus.Metric) {
	suites := slices.Clone(c.d.catalog.Suites())
	slices.SortStableFunc(suites, func(a, b catalog.SuiteInfo) int { return b.Used.Compare(a.Used) })
	now := time.Now()
	for _, s := range suites[:min(len(suites), maxSuiteMetrics)] {
		name := s.Location.String()
		at := func(desc *prometheus.Desc, t time.Time) {
			if !t.IsZero() {
				ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(t.Unix()), name)
			}
		}
		checked, stale := c.d.fetch.Checked(s.Location)
		at(suiteReleased, s.Current.Date)
		at(suiteChecked, checked)
		switch suiteOf(s, checked, stale, now).State {
		case "fresh", "unsigned": // and nothing worse
			ch <- prometheus.MustNewConstMetric(suiteFresh, prometheus.GaugeValue, 1, name)
		case "stale", "expired":
			ch <- prometheus.MustNewConstMetric(suiteFresh, prometheus.GaugeValue, 0, name)
		}
	}
}
