package chart

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the table of values into the chart's README.md")

// TestReadme keeps the README's table of values. After a change of values.yaml:
//
//	go test ./... -run TestReadme -update
func TestReadme(t *testing.T) {
	const file, begin, end = chartDir + "/README.md", "<!-- values -->\n", "<!-- /values -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s and %s", file, begin, end)
	}
	want := valuesTable(t)
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("the table of values in %s differs from values.yaml; run `go test ./... -run TestReadme -update` under e2e/chart. Want:\n%s", file, want)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// valuesTable has a row for each key of values.yaml with a comment above it. A
// key without one has keys below it that have.
func valuesTable(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| Value | Default | What |\n|---|---|---|\n")
	var walk func(path string, node *yaml.Node)
	walk = func(path string, node *yaml.Node) {
		for i := 0; i < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			name := strings.TrimPrefix(path+"."+key.Value, ".")
			comment := strings.Join(strings.Fields(strings.ReplaceAll(key.HeadComment, "#", "")), " ")
			switch {
			case comment != "":
				fmt.Fprintf(&table, "| `%s` | %s | %s |\n", name, inline(t, value), comment)
			case value.Kind == yaml.MappingNode && len(value.Content) > 0:
				walk(name, value)
			default:
				t.Errorf("values.yaml: %s has no comment", name)
			}
		}
	}
	walk("", document.Content[0])
	return table.String()
}

// inline is a value in one line, nothing for an empty one.
func inline(t *testing.T, node *yaml.Node) string {
	t.Helper()
	var value any
	if err := node.Decode(&value); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	switch text := strings.Trim(string(b), `"`); text {
	case "", "[]", "{}":
		return ""
	default:
		return "`" + text + "`"
	}
}
