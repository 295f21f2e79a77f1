package main

import "syscall"

// descriptors are the shares of the parts in the files and sockets that the process
// may have open. Go itself raises the soft limit to the hard one at the start (package
// os); to go beyond takes a privilege that the box does not have.
type descriptors struct {
	clients   int // connections of clients, each of which may need one more: the file sent, or a tunnel's other end
	repeats   int // files that are sent to several clients
	dashboard int // connections at MILLPOND_DASHBOARD_LISTEN
	downloads int // from mirrors and boxes, each with up to three
	swarm     int
}

// maxDownloads is several times what an update of a whole site has at once.
const maxDownloads = 1024

// maxConnections bounds the clients' connections where there are descriptors without
// end, by their memory: some 20 kB each while idle.
const maxConnections = 8192

// maxRepeats is more than a busy site sends again and again within ten seconds.
const maxRepeats = 1024

// divide shares out limit descriptors: two fifths for clients, one for the swarm, three
// twentieths for downloads, and one for the dashboard's own port. The rest is for the
// database (a file for each MB of it) and idle connections to mirrors.
func divide(limit int) descriptors {
	return descriptors{
		clients:   min(limit/5, maxConnections),
		repeats:   min(limit/40, maxRepeats),
		dashboard: min(limit/20, maxConnections),
		downloads: min(limit/20, maxDownloads),
		swarm:     limit / 5,
	}
}

// descriptorLimit is how many files and sockets the process may have open.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what Linux begins with
	}
	return int(min(limit.Cur, 1<<20))
}
