package dashboard

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestManual keeps the manual's tables of the API's operations and of the metrics. After a
// change:
//
//	go test ./internal/dashboard -run TestManual -update
func TestManual(t *testing.T) {
	t.Parallel()
	for file, table := range map[string]string{"../../docs/api.md": operationsTable(t), "../../docs/metrics.md": metricsTable(t)} {
		const begin, end = "<!-- generated -->\n", "<!-- /generated -->"
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(b), begin)
		has, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no %s and %s", file, begin, end)
		}
		if *update {
			if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if has != table {
			t.Errorf("the table in %s is not current; run `go test ./internal/dashboard -run TestManual -update`. Want:\n%s", file, table)
		}
	}
}

// operationsTable lists the operations of the API's document by path.
func operationsTable(t *testing.T) string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Summary  string
			Security []any
		}
	}
	if err := json.Unmarshal(ask(options(), http.MethodGet, "/api/v1/openapi.json", "box").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| Operation | What | Admin token |\n|---|---|---|\n")
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			o := doc.Paths[path][method]
			if o.Summary == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
			admin := ""
			if len(o.Security) > 0 {
				admin = "yes"
			}
			fmt.Fprintf(&b, "| `%s %s` | %s | %s |\n", strings.ToUpper(method), path, o.Summary, admin)
		}
	}
	return b.String()
}

// described takes a metric's name, help and labels from a Desc, which tells them as text only.
var described = regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)".*variableLabels: \{([^}]*)\}`)

// metricsTable lists the box's own metrics. One name with several constant labels is one row.
func metricsTable(t *testing.T) string {
	t.Helper()
	d := New(options())
	descs := make(chan *prometheus.Desc, 1000)
	newCollector(d).Describe(descs)
	d.times.firstByte.Describe(descs)
	d.times.took.Describe(descs)
	close(descs)
	rows := make(map[string]string)
	for desc := range descs {
		m := described.FindStringSubmatch(desc.String())
		if m == nil || m[2] == "" {
			t.Fatalf("a metric that cannot be read: %v", desc)
		}
		labels := m[3]
		if constant := regexp.MustCompile(`constLabels: \{(\w+)=`).FindStringSubmatch(desc.String()); constant != nil {
			labels = strings.Trim(constant[1]+","+labels, ",")
		}
		rows[m[1]] = fmt.Sprintf("| `%s` | %s | %s |\n", m[1], m[2], strings.ReplaceAll(labels, ",", ", "))
	}
	return "| Metric | What | Labels |\n|---|---|---|\n" + strings.Join(slices.Collect(values(rows)), "")
}

// values are the values of a map in the order of its keys.
func values(rows map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			if !yield(rows[name]) {
				return
			}
		}
	}
}
