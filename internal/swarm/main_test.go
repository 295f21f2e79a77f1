// The tests: a box and its fakes are in box_test; swarm_test has the swarm as a
// whole; inventories_, refused_, transfer_, liars_, bans_, standing_, links_, graph_,
// announce_, bootstrap_, redial_, rtt_, handshakes_ and relayed_test are about
// one part each, parts_test about the small ones; limits_, neighbours_, listers_,
// records_ and diversity_test are about bounds; sim_test runs boxes on a network in
// memory, in virtual time; nat_linux_, dead_linux_, crowd_linux_, neighbours_linux_ and
// namespace_linux_test run in network namespaces; bench_, transfer_bench_ and
// memory_linux_test measure.
package swarm

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable makes the test binary a box of another process: its value
// names one of roles.
const roleVariable = "MILLPOND_SWARM_TEST_ROLE"

var roles = map[string]func() error{}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
