package dashboard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// times are the histograms of requests for files, by outcome. Package proxy has some ten
// words for that.
type times struct {
	firstByte, took *prometheus.HistogramVec
}

// newTimes has bounds from what a held file takes on a local network to what apt waits
// for at most: 30 s without a byte, by default, and minutes for a large file.
func newTimes() times {
	histogram := func(name, help string, bounds ...float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millpond_" + name, Help: help, Buckets: bounds}, []string{"outcome"})
	}
	return times{
		firstByte: histogram("first_byte_seconds", "Time until the first byte of an answer to a request for a file, by what became of it.",
			0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
		took: histogram("request_duration_seconds", "Time until the last byte of an answer to a request for a file, by what became of it.",
			0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
	}
}

// Measured counts a request for a file that is over in the metrics; firstByte is 0 for
// one that got no answer.
func (d *Dashboard) Measured(outcome string, firstByte, took time.Duration) {
	d.times.took.WithLabelValues(outcome).Observe(took.Seconds())
	if firstByte > 0 {
		d.times.firstByte.WithLabelValues(outcome).Observe(firstByte.Seconds())
	}
}
