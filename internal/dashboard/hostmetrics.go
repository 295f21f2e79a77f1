package dashboard

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millpond/internal/ledger"
)

// maxLabelled is how many hosts have series of their own in a metric. A site uses a few
// dozen; the ledger keeps more, each of which would have up to 20 series.
const maxLabelled = 100

// labelled are the hosts with series of their own: once it has them, a host keeps them
// until the box restarts, so that no counter goes back. The others are one, "others".
type labelled struct {
	mu    sync.Mutex
	hosts map[string]struct{} // guarded by mu; at most maxLabelled
}

// label returns the value of the label host for a host.
func (l *labelled) label(host string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil {
		l.hosts = make(map[string]struct{})
	}
	if _, has := l.hosts[host]; !has && (len(l.hosts) == maxLabelled || host == ledger.Others) {
		return ledger.Others
	}
	l.hosts[host] = struct{}{}
	return host
}

// sums adds up the series of hosts that have the same labels.
type sums map[[2]string]int64

func (s sums) send(ch chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, labels int) {
	for of, n := range s {
		ch <- prometheus.MustNewConstMetric(desc, kind, float64(n), of[:labels]...)
	}
}

// Metrics of each host. Counters are since the ledger began, or began to count by host.
var (
	mirrorRequests = prometheus.NewDesc("millpond_mirror_requests_total",
		"Requests sent to mirrors, by the status of the answer.", []string{"host", "status"}, nil)
	mirrorAnswerBytes = prometheus.NewDesc("millpond_mirror_answer_bytes_total",
		"Body bytes that mirrors sent, by the class of the answer's status.", []string{"host", "class"}, nil)
	mirrorAvoided = prometheus.NewDesc("millpond_mirror_revalidations_avoided_total",
		"Requests of clients for Release and unlisted files, answered without one to the mirror.", []string{"host"}, nil)
	mirrorSparedRequests = prometheus.NewDesc("millpond_mirror_spared_requests",
		"Requests of clients for files of a host less requests sent to it.", []string{"host"}, nil)
	mirrorSparedBytes = prometheus.NewDesc("millpond_mirror_spared_bytes",
		"Body bytes of a host that clients got less those that it sent.", []string{"host"}, nil)
	tunnelHostBytes = prometheus.NewDesc("millpond_tunnel_host_bytes_total",
		"Bytes through tunnels to a host, both ways.", []string{"host"}, nil)
)

func (c *collector) describeHosts(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{mirrorRequests, mirrorAnswerBytes, mirrorAvoided, mirrorSparedRequests, mirrorSparedBytes, tunnelHostBytes} {
		ch <- d
	}
}

func (c *collector) collectHosts(ch chan<- prometheus.Metric) {
	c.collectRequests(ch)
	c.collectLoads(ch)
	tunnels := c.d.ledger.Tunnels(time.Now(), 1)
	slices.SortStableFunc(tunnels, func(a, b ledger.TunnelHost) int { return cmp.Compare(b.Ever.Bytes, a.Ever.Bytes) })
	bytes := make(sums)
	for _, h := range tunnels {
		bytes[[2]string{c.tunnels.label(shownHost(h.Name))}] += h.Ever.Bytes
	}
	bytes.send(ch, tunnelHostBytes, prometheus.CounterValue, 1)
}

func (c *collector) collectRequests(ch chan<- prometheus.Metric) {
	var hosts []ledger.Account
	for host, err := range c.d.ledger.Hosts("") {
		if err != nil { // the other figures are worth something without it
			c.d.log.Warn("requests to mirrors not shown in the metrics", "err", err)
			return
		}
		if len(host.Answers) > 0 {
			hosts = append(hosts, host)
		}
	}
	slices.SortStableFunc(hosts, func(a, b ledger.Account) int { return cmp.Compare(b.MirrorRequests, a.MirrorRequests) })
	requests := make(sums)
	for _, host := range hosts {
		name := c.hosts.label(host.Name)
		for _, a := range host.Answers {
			requests[[2]string{name, statusName(a.Status)}] += a.Requests
		}
	}
	requests.send(ch, mirrorRequests, prometheus.CounterValue, 2)
}

func (c *collector) collectLoads(ch chan<- prometheus.Metric) {
	bytes, avoided, sparedRequests, sparedBytes := make(sums), make(sums), make(sums), make(sums)
	for _, h := range c.d.ledger.Mirrors(time.Now(), 1) {
		name := c.hosts.label(h.Name)
		for class, load := range h.Ever.ByClass {
			if load.Bytes > 0 {
				bytes[[2]string{name, ledger.Class(class).String()}] += load.Bytes
			}
		}
		one := [2]string{name}
		spared := h.Ever.Spared()
		avoided[one] += h.Ever.Avoided
		sparedRequests[one] += spared.Requests
		sparedBytes[one] += spared.Bytes
	}
	bytes.send(ch, mirrorAnswerBytes, prometheus.CounterValue, 2)
	avoided.send(ch, mirrorAvoided, prometheus.CounterValue, 1)
	sparedRequests.send(ch, mirrorSparedRequests, prometheus.GaugeValue, 1)
	sparedBytes.send(ch, mirrorSparedBytes, prometheus.GaugeValue, 1)
}
