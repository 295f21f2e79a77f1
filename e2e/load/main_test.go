// Package load holds the tests of a box with much to do: many clients at once, clients
// that hardly read, files that do not exist, and an hour of all kinds of clients while
// the mirror fails in all kinds of ways and other boxes come and go. Each runs the built
// program and prints a row of figures, which -v shows.
//
// -short is for continuous integration: the same with fewer clients, or for a shorter
// time.
package load

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

var soakTime = flag.Duration("soak", 0, "how long TestSoak takes; an hour if 0, three minutes with -short")

func TestMain(m *testing.M) {
	for variable, run := range map[string]func(text string) error{planVariable: generate, filesVariable: serveFiles} {
		if text := os.Getenv(variable); text != "" {
			if err := run(text); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// soakLength returns how long TestSoak takes in all.
func soakLength() time.Duration {
	switch {
	case *soakTime > 0:
		return *soakTime
	case testing.Short():
		return 3 * time.Minute
	}
	return time.Hour
}
