package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of settings into README.md")

// TestReadme keeps the README's table of settings. After a change of Config:
//
//	go test ./appliance -run TestReadme -update
func TestReadme(t *testing.T) {
	const file, begin, end = "../README.md", "<!-- settings -->\n", "<!-- /settings -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s and %s", file, begin, end)
	}
	want := markdown(settings())
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("the table of settings in %s differs from Config; run `go test ./appliance -run TestReadme -update`. Want:\n%s", file, want)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The README has each command in its table, with its exit codes.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range commands() {
		if !regexp.MustCompile("(?m)^\\| .*`millpond " + regexp.QuoteMeta(cmd.name) + "[ `]").Match(b) {
			t.Errorf("README.md does not list millpond %s", cmd.name)
		}
	}
	for code := range exitDegraded + 1 {
		if !strings.Contains(string(b), fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("README.md does not say what exit code %d means", code)
		}
	}
}

func markdown(all []setting) string {
	var b strings.Builder
	b.WriteString("| Setting | Default | Takes | What |\n|---|---|---|---|\n")
	for _, s := range all {
		def := ""
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		name := "`" + s.Name + "`"
		if s.inFile() {
			name += " or, from a file, `" + s.Name + fromFile + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, def, s.Takes, s.Help)
	}
	return b.String()
}
