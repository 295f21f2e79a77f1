package apt

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"millpond/e2e/internal/box"
)

// TestFaults has the real apt meet mirrors at fault: without a box, through one
// that has not seen the archive, and through one that holds what the client
// wants. The box must do as well as apt alone, and better where it holds
// something good. `go test -v -run TestFaults` prints a table.
func TestFaults(t *testing.T) {
	b := box.Start(t, shapeSettings(t)...)
	all := allFaults()
	lines := make([]string, len(all))
	// Most rows are apt at work, the slow ones wait: these begin at once.
	life := t
	run := func(i int) {
		t.Run(all[i].name, func(t *testing.T) { lines[i] = all[i].row(t, life, b) })
	}
	var waiting, working sync.WaitGroup
	for i := range all {
		if all[i].waits {
			waiting.Go(func() { run(i) })
		}
	}
	next := make(chan int)
	for range atWork {
		working.Go(func() {
			for i := range next {
				run(i)
			}
		})
	}
	for i := range all {
		if !all[i].waits {
			next <- i
		}
	}
	close(next)
	working.Wait()
	waiting.Wait()
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
	t.Log("\n| fault | direct | cold box | warm box | |\n|---|---|---|---|---|\n" + strings.Join(lines, "\n"))
}

// atWork is how many rows run at once. More would make the times of each longer.
const atWork = 6

// tries is how often a row is run whose times alone are wrong: on a busy machine apt
// itself takes seconds longer now and then.
const tries = 3

// row has all clients meet the fault, each at an archive of its own, and returns
// the line of the table.
func (f fault) row(t, life *testing.T, b *box.Box) string {
	outcomes := f.meetAll(t, life, b)
	for n := 1; n < tries && f.isLate(outcomes); n++ {
		outcomes = f.meetAll(t, life, b)
	}
	var problems []string
	for _, w := range []column{cold, warm} {
		problems = append(problems, f.problems(w, outcomes[w], outcomes[alone])...)
	}
	mark := ""
	if len(problems) > 0 {
		t.Errorf("\n  %s\n%s", strings.Join(problems, "\n  "), f.printed(outcomes))
		mark = "**fails**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", f.name, outcomes[alone], outcomes[cold], outcomes[warm], mark)
}

func (f fault) meetAll(t, life *testing.T, b *box.Box) (outcomes [columnCount]outcome) {
	var all sync.WaitGroup
	for w := range columnCount {
		all.Go(func() {
			t.Run(columnNames[w], func(t *testing.T) { outcomes[w] = f.meet(t, life, w, b) })
		})
	}
	all.Wait()
	return outcomes
}

// isLate reports whether a client of the box took too long.
func (f fault) isLate(outcomes [columnCount]outcome) bool {
	latest := outcomes[alone].took + f.mayTake()
	return outcomes[cold].took > latest || outcomes[warm].took > latest
}

func (f fault) printed(outcomes [columnCount]outcome) string {
	var b strings.Builder
	for w, o := range outcomes {
		fmt.Fprintf(&b, "--- %s\n%s", columnNames[w], o.printed)
	}
	return b.String()
}
