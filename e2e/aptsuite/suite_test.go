// Package aptsuite runs the tests of apt's own source that have a web server,
// with the machine's apt, without a box and through the built one. Their
// archives are signed with the suite's keys, which the box has.
//
// It needs root, as the suite expects of who tests that apt drops it.
package aptsuite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/system"
)

// limit is for one test. The longest takes three minutes, and several times that
// on a busy machine.
const limit = 20 * time.Minute

// TestSuite runs all tests, first without a box to see whether the machine
// passes them at all, then through a box of their own. What failing lists must
// fail, and all else must pass. What fails because of what the box holds is run
// once more, with a box that forgets. `go test -v` prints a table. With -short it
// runs those of short, only through the box.
func TestSuite(t *testing.T) {
	s := newSuite(t)
	all := s.webTests(t)
	for name := range failing {
		if !slices.Contains(all, name) {
			t.Errorf("%s of the list of tests that fail is not in the suite", name)
		}
	}
	if testing.Short() {
		all = short
	}
	lines := make([]string, len(all))
	t.Run("tests", func(t *testing.T) {
		for i, name := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				lines[i] = s.row(t, name)
			})
		}
	})
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
	t.Log("\n| test | direct | box | box that holds nothing | |\n|---|---|---|---|---|\n" + strings.Join(lines, "\n"))
}

// row runs a test both ways and returns the line of the table.
func (s *suite) row(t *testing.T, name string) string {
	direct := "not run"
	if !testing.Short() {
		o := s.run(t, name, way{})
		if o.failed != 0 {
			t.Errorf("without a box %d checks fail on this machine:\n%s", o.failed, o.printed)
			return ""
		}
		direct = o.String()
	}
	// 0.0.0.0 is where some tests redirect to.
	settings := []string{"MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8,0.0.0.0/32,localhost/*", "MILLPOND_INDEX_TTL=0s", "MILLPOND_KEYRING_DIR=" + s.keys}
	through := s.run(t, name, way{proxy: box.Start(t, settings...).URL})
	f, listed := failing[name]
	switch {
	case listed && through.failed == 0 && !f.passes:
		t.Errorf("it passes: take it from the list of tests that fail (%s)", f.reason)
	case listed && through.failed > f.checks:
		t.Errorf("%d checks fail, of which %d do since %s:\n%s", through.failed, f.checks, f.reason, through.printed)
	case !listed && through.failed != 0:
		t.Errorf("%d checks fail through the box:\n%s", through.failed, through.printed)
	}
	empty := ""
	if f.byHolding() && !testing.Short() {
		forget := newForgetting(t, settings...)
		o := s.run(t, name, way{forget.box.URL, forget})
		if empty = o.String(); o.failed > f.empty {
			t.Errorf("%d checks fail through a box that holds nothing, at most %d did:\n%s", o.failed, f.empty, o.printed)
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", name, direct, through, empty, f.reason)
}

// outcome is how a test went.
type outcome struct {
	failed  int // checks
	took    time.Duration
	printed string
}

func (o outcome) String() string {
	verdict := "passes"
	if o.failed != 0 {
		verdict = fmt.Sprintf("%d fail", o.failed)
	}
	return fmt.Sprintf("%s, %.0f s", verdict, o.took.Seconds())
}

// way is how apt reaches the web server of a test.
type way struct {
	proxy  string      // "" for none
	forget *forgetting // nil if the proxy forgets nothing
}

// run runs a test.
func (s *suite) run(t *testing.T, name string, w way) outcome {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.file(name))
	const here = "APT_INTEGRATION_TESTS_"
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "MSGLEVEL=2", "MSGCOLOR=NO", "SUITE_PROXY=" + w.proxy,
		here + "SOURCE_DIR=" + s.source, here + "BUILD_DIR=" + s.build,
		// The machine's apt.
		here + "CMDLINE_BIN_DIR=/usr/bin", here + "FTPARCHIVE_BIN_DIR=/usr/bin", here + "METHODS_DIR=/usr/lib/apt/methods",
		here + "LIBEXEC_DIR=/usr/lib/apt", here + "INTERNAL_SOLVER=/usr/lib/apt/solvers/apt", here + "DUMP_SOLVER=/usr/lib/apt/solvers/dump",
		here + "INTERNAL_PLANNER=/usr/lib/apt/planners/apt", here + "LIBRARY_PATH=/nonexistent",
	}
	if w.forget != nil {
		cmd.Env = append(cmd.Env, "SUITE_FORGET="+w.forget.url)
	}
	// A test ends its web server when it is told to end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	// A file: the web server keeps it open when the test has ended.
	log, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	begun := time.Now()
	if w.forget != nil {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		err = w.forget.until(ended)
	} else {
		err = cmd.Run()
	}
	o := outcome{took: time.Since(begun), printed: printed(log.Name())}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("it has not ended after %v:\n%s", limit, o.printed)
	case errors.As(err, &exit):
		o.failed = exit.ExitCode() // the count
		if m := tooMany.FindStringSubmatch(o.printed); m != nil {
			o.failed, err = strconv.Atoi(m[1])
		}
	}
	if err != nil && o.failed == 0 {
		t.Fatal(err)
	}
	return o
}

// tooMany is what a test prints last if more checks have failed than a status can
// tell.
var tooMany = regexp.MustCompile(`Total failure count (\d+) too big`)

// printed is the end of what a test printed, without apt's own account of it.
func printed(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	lines := slices.Collect(strings.Lines(string(text)))
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, " <- ") || strings.HasPrefix(line, " -> ")
	})
	return system.Tail(strings.Join(lines, ""))
}
