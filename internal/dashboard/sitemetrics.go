package dashboard

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"millpond/internal/siteledger"
)

// siteMetric is a figure of all boxes together. A counter begins anew, lower, when a box is
// forgotten.
type siteMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(siteledger.Sum) int64
	label string // value of the second label; "" if there is none
}

// ofBoxes is the label for which boxes are in a sum: proved or all.
const ofBoxes = "of"

var siteMetrics = func() (all []siteMetric) {
	add := func(name, help string, value func(siteledger.Sum) int64) {
		all = append(all, siteMetric{prometheus.NewDesc("millpond_site_"+name, help, []string{ofBoxes}, nil), kindOf(name), value, ""})
	}
	labelled := func(name, label, help string, values map[string]func(siteledger.Sum) int64) {
		desc := prometheus.NewDesc("millpond_site_"+name, help, []string{ofBoxes, label}, nil)
		for of, value := range values {
			all = append(all, siteMetric{desc, kindOf(name), value, of})
		}
	}
	labelled("boxes", "state", "Boxes with figures, this one among them.", map[string]func(siteledger.Sum) int64{
		"connected": func(s siteledger.Sum) int64 { return int64(s.Boxes - s.Away) },
		"away":      func(s siteledger.Sum) int64 { return int64(s.Away) },
	})
	labelled("client_bytes_total", "from", "Body bytes that the boxes sent to clients, by where they came from.", map[string]func(siteledger.Sum) int64{
		"store":  func(s siteledger.Sum) int64 { return s.Counts.DeliveredStore },
		"peers":  func(s siteledger.Sum) int64 { return s.Counts.DeliveredPeer },
		"mirror": func(s siteledger.Sum) int64 { return s.Counts.DeliveredMirror },
	})
	add("faulty_boxes", "Connected boxes that are degraded or unavailable.", func(s siteledger.Sum) int64 { return int64(s.Faulty) })
	add("mirror_bytes_total", "Body bytes that the boxes took from mirrors, for any reason.", func(s siteledger.Sum) int64 { return s.Counts.MirrorTaken })
	add("saved_bytes", "Bytes that the boxes sent to clients less those that they took from mirrors.", func(s siteledger.Sum) int64 { return s.Counts.Saved() })
	add("tunnel_bytes_total", "Bytes through CONNECT tunnels of the boxes, both ways.", func(s siteledger.Sum) int64 { return s.Counts.Tunnelled })
	add("requests_total", "Requests of clients that the boxes answered.", func(s siteledger.Sum) int64 { return s.Counts.Requests })
	add("mirror_requests_total", "Requests that the boxes sent to mirrors.", func(s siteledger.Sum) int64 { return s.Counts.MirrorRequests })
	add("clients", "Clients of the boxes, each once as far as the boxes tell.", func(s siteledger.Sum) int64 { return s.Clients })
	add("packages", "Packages that clients requested, each once.", func(s siteledger.Sum) int64 { return s.Packages })
	add("blob_bytes", "Bytes of the files that the boxes hold.", func(s siteledger.Sum) int64 { return s.Holdings.BlobBytes })
	return all
}()

// kindOf goes by the name, as Prometheus has it.
func kindOf(name string) prometheus.ValueType {
	if strings.HasSuffix(name, "_total") {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// describeSite has each description once, although some metrics share one.
func (c *collector) describeSite(ch chan<- *prometheus.Desc) {
	known := make(map[*prometheus.Desc]bool)
	for _, m := range siteMetrics {
		if !known[m.desc] {
			ch <- m.desc
		}
		known[m.desc] = true
	}
}

func (c *collector) collectSite(ch chan<- prometheus.Metric) {
	for of, sum := range map[string]siteledger.Sum{"proved": c.d.site.Sum(false), "all": c.d.site.Sum(true)} {
		for _, m := range siteMetrics {
			labels := []string{of}
			if m.label != "" {
				labels = append(labels, m.label)
			}
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(sum)), labels...)
		}
	}
}
