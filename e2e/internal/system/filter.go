package system

import "os"

// Rules are packet filter rules, each a table, a chain and the arguments of
// iptables. iptables rather than nft, since a Docker engine on the machine
// forbids all forwarding that its own chains do not accept.
type Rules [][]string

// Insert puts the rules before those that are there, and lets the machine
// forward packets. Forwarding stays on, as dockerd leaves it too: another engine
// may rely on it.
func (r Rules) Insert() error {
	for _, rule := range r {
		if err := iptables("-I", rule); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// Delete removes the rules, however often each is there.
func (r Rules) Delete() error {
	for _, rule := range r {
		for iptables("-C", rule) == nil {
			if err := iptables("-D", rule); err != nil {
				return err
			}
		}
	}
	return nil
}

// iptables waits for other processes that change rules (-w).
func iptables(command string, rule []string) error {
	return Run("iptables", append([]string{"-w", "-t", rule[0], command}, rule[1:]...)...)
}
