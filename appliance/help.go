package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// printHelp writes the commands and the table of settings.
func printHelp(w io.Writer) {
	fmt.Fprint(w, `millpond serves the apt clients of a site from one store and downloads each file from the mirror once.

Commands:
  millpond               serve
  millpond healthcheck   ask the box on this machine whether it is ready; exit 1 if not
  millpond peers         list the boxes that the box on this machine is connected to
  millpond drain [QUIET [LIMIT]]
                         take the box on this machine out: it is not ready any more, tells other
                         boxes, and still serves; ends when no downloads have been under way for
                         QUIET (2s), and fails after LIMIT. Needs MILLPOND_ADMIN_TOKEN; a restart
                         of the box undoes it
  millpond erase-client ADDRESS
                         erase what is kept about a client: in the data directory, or while a
                         box runs on that, through its API (MILLPOND_ADMIN_TOKEN)
  millpond swarm-key     make a key for a private swarm (MILLPOND_SWARM_KEY)
  millpond help          this text
  millpond version       the version

Settings, all from the environment:
`)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range settings() {
		def := s.Default
		if def == "" {
			def = "-"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n\t\t  takes %s\n", s.Name, def, s.Help, s.Takes)
		if s.secret {
			fmt.Fprintf(t, "\t\t  or, from a file, %s%s\n", s.Name, fromFile)
		}
	}
	t.Flush()
}
