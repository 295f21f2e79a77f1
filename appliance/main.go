// Package main is the program: a box that serves the apt clients of a site from
// one store and downloads each file from the mirror once.
//
// It is the only package that reads the environment, handles signals and
// decides how the process exits. `millpond` with no argument serves;
// `millpond help` prints the commands and the settings. Exit codes: 0 for an
// orderly shutdown, 1 for a failure, 2 for an invalid command line or
// configuration, and 3 of `millpond status` for a box that serves but is degraded.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // MILLPOND_MIRROR_RATE goes by local time, also where there is no zone data
)

// version is set by the build (-ldflags "-X main.version=…").
var version = "devel"

const (
	exitOK = iota
	exitFault
	exitUsage
	exitDegraded
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		exitLate()
	})
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the program with its environment as arguments.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	name := "serve"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	cmd, ok := commandNamed(name)
	if !ok {
		fmt.Fprintf(stderr, "millpond: no command %q; `millpond help` lists them\n", name)
		return exitUsage
	}
	i, err := cmd.parse(args, stdout, stderr)
	switch {
	case err != nil:
		return exitOf(err, stderr)
	case i.help:
		cmd.printHelp(stdout)
		return exitOK
	case cmd.bare != nil:
		return exitOf(cmd.bare(i), stderr)
	}
	c, err := parseConfig(environ)
	if err != nil {
		fmt.Fprintf(stderr, "millpond: invalid configuration:\n%v\n`millpond help` lists all settings.\n", err)
		return exitUsage
	}
	c.box = i.box
	return exitOf(cmd.run(ctx, c, i), stderr)
}

// serve runs the box until ctx ends.
func serve(ctx context.Context, c Config, stdout, stderr io.Writer) error {
	log := newLogger(c, stderr)
	limitMemory(log, os.DirFS("/"))
	c.stdout = stdout
	a, err := New(c, log)
	if err != nil {
		return err
	}
	a.report(stdout, stderr)
	return a.Run(ctx)
}
