package dashboard

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"millpond/internal/api"
	"millpond/internal/fetch"
	"millpond/internal/prefetch"
)

// newRegistry has the box's figures and those of the process.
func newRegistry(d *Dashboard) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newCollector(d), d.times.firstByte, d.times.took)
	return r
}

// collector turns the snapshots into metrics at each scrape, so that a metric
// and the page never differ.
type collector struct {
	d              *Dashboard
	metrics        []metric
	hosts, tunnels labelled
}

// buildInfo is 1, and tells which program this is by its labels.
var buildInfo = prometheus.NewDesc("millpond_build_info", "1; the labels tell the version of the box and of Go.", []string{"version", "goversion"}, nil)

// metric is one figure of the snapshots.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*reading) int64
}

// reading is one moment's snapshots.
type reading struct {
	api.Summary
	fetch  fetch.Stats
	ahead  prefetch.Figures
	faults int
}

func newCollector(d *Dashboard) *collector {
	c := &collector{d: d}
	c.addTraffic()
	c.addHoldings()
	c.addDownloads()
	c.addPrefetch()
	return c
}

func (c *collector) addTraffic() {
	from := func(origin string, value func(*reading) int64) {
		c.add(prometheus.CounterValue, "client_bytes_total", "Body bytes sent to clients, by where they came from.",
			prometheus.Labels{"from": origin}, value)
	}
	from("store", func(r *reading) int64 { return r.FromStore })
	from("peers", func(r *reading) int64 { return r.FromPeers })
	from("mirror", func(r *reading) int64 { return r.FromMirror })
	c.count("requests_total", "Requests of clients for archive files.", func(r *reading) int64 { return r.Requests })
	c.count("mirror_bytes_total", "Body bytes taken from mirrors, for any reason.", func(r *reading) int64 { return r.MirrorBytes })
	c.count("revalidations_avoided_total", "Requests of clients for Release and unlisted files, answered without one to the mirror.", func(r *reading) int64 { return r.AvoidedRequests })
	c.count("peer_bytes_in_total", "Body bytes taken from other boxes.", func(r *reading) int64 { return r.PeerBytesIn })
	c.count("peer_bytes_out_total", "Body bytes given to other boxes.", func(r *reading) int64 { return r.PeerBytesOut })
	c.count("tunnel_bytes_total", "Bytes through CONNECT tunnels, both ways.", func(r *reading) int64 { return r.TunnelBytes })
	c.gauge("saved_bytes", "Bytes sent to clients less bytes taken from mirrors.", func(r *reading) int64 { return r.SavedBytes })
}

func (c *collector) addHoldings() {
	c.gauge("blobs", "Files held.", func(r *reading) int64 { return r.Blobs })
	c.gauge("blob_bytes", "Bytes of the files held.", func(r *reading) int64 { return r.BlobBytes })
	c.gauge("quota_bytes", "Bytes that may be held (MILLPOND_CACHE_SIZE).", func(r *reading) int64 { return r.QuotaBytes })
	c.gauge("known_files", "Files that learned indices list.", func(r *reading) int64 { return r.Known })
	c.gauge("faults", "Reasons why the box is degraded, see /readyz.", func(r *reading) int64 { return int64(r.faults) })
}

func (c *collector) addDownloads() {
	c.gauge("downloads_running", "Downloads under way.", func(r *reading) int64 { return int64(r.Downloads) })
	c.count("downloads_total", "Downloads begun.", func(r *reading) int64 { return r.fetch.Flights })
	c.count("downloads_joined_total", "Requests that shared a download under way.", func(r *reading) int64 { return r.fetch.Joined })
	c.count("downloads_resumed_total", "Cut downloads taken up again.", func(r *reading) int64 { return r.fetch.Resumed })
	c.count("downloads_unkept_total", "Downloads that found no room in the store.", func(r *reading) int64 { return r.fetch.Diverted })
	c.count("wrong_bytes_total", "Files whose bytes did not match the signed index.", func(r *reading) int64 { return r.fetch.Wrong })
	c.count("stale_served_total", "Files served unchecked while the mirror was away.", func(r *reading) int64 { return r.fetch.Stale })
	c.count("indices_learned_total", "Indices read.", func(r *reading) int64 { return r.fetch.Learned })
	c.count("indices_unread_total", "Indices that could not be read.", func(r *reading) int64 { return r.fetch.LearnFaults })
}

func (c *collector) addPrefetch() {
	from := func(origin string, value func(*reading) int64) {
		c.add(prometheus.CounterValue, "prefetch_bytes_total", "Body bytes taken before a client asked, by where they came from.",
			prometheus.Labels{"from": origin}, value)
	}
	from("peers", func(r *reading) int64 { return r.ahead.Total.FromPeers })
	from("mirror", func(r *reading) int64 { return r.ahead.Total.FromMirrors })
	c.count("prefetch_used_bytes_total", "Bytes of these whose files clients then got.", func(r *reading) int64 { return r.ahead.Total.UsedBytes })
	c.count("prefetch_wasted_bytes_total", "Bytes of these whose files no client got before they were evicted, or within 14 days.", func(r *reading) int64 { return r.ahead.Total.WastedBytes })
	c.count("prefetch_files_total", "Files fetched before a client asked.", func(r *reading) int64 { return r.ahead.Total.Files })
	c.count("prefetch_used_files_total", "Of these files, those that clients then got.", func(r *reading) int64 { return r.ahead.Total.UsedFiles })
	c.count("prefetch_wasted_files_total", "Of these files, those that no client got before they were evicted, or within 14 days.", func(r *reading) int64 { return r.ahead.Total.WastedFiles })
	c.gauge("prefetch_budget_bytes", "Bytes that automatic prefetches may take in a day (MILLPOND_PREFETCH), with what days before have left.", func(r *reading) int64 { return r.ahead.Limit + r.ahead.Saved })
	c.gauge("prefetch_budget_spent_bytes", "Bytes that prefetches have taken in this day.", func(r *reading) int64 { return r.ahead.Spent })
}

func (c *collector) count(name, help string, value func(*reading) int64) {
	c.add(prometheus.CounterValue, name, help, nil, value)
}

func (c *collector) gauge(name, help string, value func(*reading) int64) {
	c.add(prometheus.GaugeValue, name, help, nil, value)
}

func (c *collector) add(kind prometheus.ValueType, name, help string, labels prometheus.Labels, value func(*reading) int64) {
	c.metrics = append(c.metrics, metric{prometheus.NewDesc("millpond_"+name, help, nil, labels), kind, value})
}

var _ prometheus.Collector = (*collector)(nil)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		ch <- m.desc
	}
	ch <- buildInfo
	c.describeHosts(ch)
	c.describeSuites(ch)
	c.describeMirrors(ch)
	c.describeSite(ch)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	r := &reading{Summary: c.d.snapshot(), fetch: c.d.fetch.Stats(), ahead: c.d.prefetch.Figures(), faults: len(c.d.ready())}
	for _, m := range c.metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(r)))
	}
	ch <- prometheus.MustNewConstMetric(buildInfo, prometheus.GaugeValue, 1, c.d.version, runtime.Version())
	c.collectHosts(ch)
	c.collectSuites(ch)
	c.collectMirrors(ch)
	c.collectSite(ch)
}
