package dashboard

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"millpond/internal/api"
	"millpond/internal/mirror"
)

// Mirrors lists what is known about the mirrors of archives that have several, which the
// setting bounds, and knows which URLs are not for the box. It is a *mirror.Client.
type Mirrors interface {
	Health() []mirror.MirrorHealth
	// Takes says why a client had better not ask the box for a URL, nil if it may.
	Takes(ctx context.Context, uri string) error
}

func (d *Dashboard) listMirrors(context.Context, *none) (api.MirrorList, error) {
	answer := api.MirrorList{Mirrors: []api.Mirror{}}
	for _, h := range d.mirrors.Health() {
		m := api.Mirror{Archive: h.Archive, URL: h.URL, Down: h.Down, FirstByte: float64(h.FirstByte.Microseconds()) / 1000, Rate: h.Rate}
		if !h.Measured.IsZero() {
			at := h.Measured.UTC()
			m.Measured = &at
		}
		answer.Mirrors = append(answer.Mirrors, m)
	}
	return answer, nil
}

// Metrics of each mirror of an archive that has several.
var (
	mirrorLabels    = []string{"archive", "mirror"}
	mirrorUp        = prometheus.NewDesc("millpond_mirror_up", "1 if a mirror of MILLPOND_MIRRORS is asked in its turn, 0 while it is asked after the others because it failed.", mirrorLabels, nil)
	mirrorFirstByte = prometheus.NewDesc("millpond_mirror_first_byte_seconds", "Usual time until a mirror of MILLPOND_MIRRORS answers.", mirrorLabels, nil)
	mirrorAnswered  = prometheus.NewDesc("millpond_mirror_answered_timestamp_seconds", "When a mirror of MILLPOND_MIRRORS last answered.", mirrorLabels, nil)
	mirrorRate      = prometheus.NewDesc("millpond_mirror_rate_bytes", "Usual bytes a second from a mirror of MILLPOND_MIRRORS.", mirrorLabels, nil)
)

func (c *collector) describeMirrors(ch chan<- *prometheus.Desc) {
	ch <- mirrorUp
	ch <- mirrorFirstByte
	ch <- mirrorAnswered
	ch <- mirrorRate
}

// collectMirrors leaves out what is not measured.
func (c *collector) collectMirrors(ch chan<- prometheus.Metric) {
	for _, h := range c.d.mirrors.Health() {
		gauge := func(desc *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, h.Archive, h.URL)
		}
		up := 1.0
		if h.Down != "" {
			up = 0
		}
		gauge(mirrorUp, up)
		if !h.Measured.IsZero() {
			gauge(mirrorAnswered, float64(h.Measured.Unix()))
		}
		if h.FirstByte > 0 {
			gauge(mirrorFirstByte, h.FirstByte.Seconds())
		}
		if h.Rate > 0 {
			gauge(mirrorRate, float64(h.Rate))
		}
	}
}
