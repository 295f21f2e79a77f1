// Package system changes the machine that a test runs on: it runs its commands,
// adds packet filter rules and takes them away, and takes locks that other
// processes respect. The packages that run a Docker engine and a Kubernetes
// share it.
//
// All of it needs root, except for locks.
package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Run runs a command. The error has the end of what the command printed.
func Run(program string, args ...string) error {
	return Finish(exec.Command(program, args...))
}

// RunAll runs commands until one fails.
func RunAll(commands ...[]string) error {
	for _, args := range commands {
		if err := Run(args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// Finish runs a prepared command whose output nobody wants. The error has the
// end of what it printed.
func Finish(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, Tail(string(out)))
	}
	return nil
}

// Capture runs a prepared command and returns its standard output without the
// final newline. The error has the end of its standard error.
func Capture(cmd *exec.Cmd) (string, error) {
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, Tail(stderr.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// Output is Capture of a command of this machine.
func Output(ctx context.Context, program string, args ...string) (string, error) {
	return Capture(exec.CommandContext(ctx, program, args...))
}

// Tail is the end of a command's output, at most 4,000 bytes: the cause of a
// failure is printed last.
func Tail(output string) string {
	const enough = 4000
	output = strings.TrimSpace(output)
	return output[max(0, len(output)-enough):]
}

// Lock creates the file if it is not there, and waits until no other process
// has it locked. Closing the file, or the end of the process, unlocks it.
func Lock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", name, err), f.Close())
	}
	return f, nil
}
