package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// helpCommand prints all commands and settings, or more about a command.
func helpCommand(i invocation) error {
	if len(i.args) == 0 {
		printHelp(i.stdout)
		return nil
	}
	cmd, ok := commandNamed(i.args[0])
	if !ok {
		return wrongUsage("no command %q; `millpond help` lists them", i.args[0])
	}
	cmd.printHelp(i.stdout)
	return nil
}

// printHelp writes what a command does.
func (cmd command) printHelp(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n%s.\n", cmd.usage(), strings.ToUpper(cmd.short[:1])+cmd.short[1:])
	if cmd.long != "" {
		fmt.Fprintf(w, "%s\n", cmd.long)
	}
	if cmd.asks {
		fmt.Fprint(w, `
  --box URL   ask the box at URL, such as http://box.lan:3142, instead of the one on this
              machine, which is at MILLPOND_DASHBOARD_LISTEN or MILLPOND_LISTEN
  --json      print what the API answers

If MILLPOND_DASHBOARD_ACCESS of the box has a token, it is taken from that setting here, or
the admin token is.
`)
	}
	fmt.Fprint(w, `
Exit codes: 0 done; 1 it could not be done, or was refused; 2 wrong command line or settings.
`)
}

func (cmd command) usage() string {
	usage := "millpond " + cmd.name
	if cmd.args != "" {
		usage += " " + cmd.args
	}
	if cmd.asks {
		usage += " [--box URL] [--json]"
	}
	return usage
}

// printHelp writes the commands and the table of settings.
func printHelp(w io.Writer) {
	fmt.Fprint(w, `millpond serves the apt clients of a site from one store and downloads each file from the mirror once.

Commands; `+"`millpond help COMMAND`"+` says more:
`)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cmd := range commands() {
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSuffix("millpond "+cmd.name+" "+cmd.args, " "), cmd.short)
	}
	t.Flush()
	fmt.Fprint(w, `
Exit codes: 0 done; 1 it could not be done, or was refused; 2 wrong command line or settings;
3 of status: the box serves, but something is wrong.

Settings, all from the environment:
`)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range settings() {
		def := s.Default
		if def == "" {
			def = "-"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n\t\t  takes %s\n", s.Name, def, s.Help, s.Takes)
		if s.inFile() {
			fmt.Fprintf(t, "\t\t  or, from a file, %s%s\n", s.Name, fromFile)
		}
	}
	t.Flush()
}
