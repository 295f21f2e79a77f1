// Package main is the program: a box that serves the apt clients of a site from
// one store and downloads each file from the mirror once.
//
// It is the only package that reads the environment, handles signals and
// decides how the process exits. `millpond` with no argument serves;
// `millpond help` prints the commands and the settings. Exit codes: 0 for an
// orderly shutdown, 1 for a failure, 2 for an invalid command line or
// configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // MILLPOND_MIRROR_RATE goes by local time, also where there is no zone data

	"millpond/internal/swarm"
)

// version is set by the build (-ldflags "-X main.version=…").
var version = "devel"

const (
	exitOK = iota
	exitFault
	exitUsage
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
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "help", "-h", "-help", "--help":
		printHelp(stdout)
		return exitOK
	case "version", "-version", "--version":
		fmt.Fprintln(stdout, "millpond", version)
		return exitOK
	case "swarm-key":
		stdout.Write(swarm.NewKey())
		return exitOK
	case "serve", "healthcheck", "peers", "drain", "erase-client":
	default:
		fmt.Fprintf(stderr, "millpond: no command %q; `millpond help` lists them\n", command)
		return exitUsage
	}
	times, err := checkArguments(command, args)
	if err != nil {
		fmt.Fprintf(stderr, "millpond: %v\n", err)
		return exitUsage
	}
	c, err := parseConfig(environ)
	if err != nil {
		fmt.Fprintf(stderr, "millpond: invalid configuration:\n%v\n`millpond help` lists all settings.\n", err)
		return exitUsage
	}
	switch command {
	case "healthcheck":
		err = healthcheck(ctx, c)
	case "peers":
		err = printPeers(ctx, c, stdout)
	case "drain":
		err = drainCommand(ctx, c, times, stdout)
	case "erase-client":
		err = eraseCommand(ctx, c, args[1], stdout, stderr)
	default:
		err = serve(ctx, c, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "millpond: %v\n", err)
		return exitFault
	}
	return exitOK
}

// checkArguments reports what is wrong with the arguments of a command. Those of drain
// are times.
func checkArguments(command string, args []string) (times drainTimes, err error) {
	switch {
	case command == "drain":
		return parseDrainTimes(args[1:])
	case command == "erase-client" && len(args) != 2:
		return times, errors.New("erase-client takes the address of one client, such as 10.1.2.3 or fd00::1")
	case command != "erase-client" && len(args) > 1:
		return times, fmt.Errorf("%q: %s takes no arguments; settings come from the environment, see `millpond help`", args[1:], command)
	}
	return times, nil
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
