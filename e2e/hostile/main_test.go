// Package hostile holds the tests of what dishonest and overloaded boxes cost honest
// ones: built boxes, each on a host of a network that the test makes, and boxes that
// lie (package dishonest). What a swarm with them costs is compared with the same swarm
// without them, and with a box that has no swarm.
//
// Each scenario prints a row of a table: with -v it is shown of those that pass, too.
// They need root.
package hostile

import (
	"os"
	"testing"

	"millpond/e2e/internal/dishonest"
)

func TestMain(m *testing.M) {
	dishonest.Main()
	os.Exit(m.Run())
}
