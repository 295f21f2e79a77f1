package proxy

import "slices"

// reserved are the first segments of paths that are the box's own and no
// hosts: pages of the dashboard, and the marker of https archives. Whatever
// the box serves below a directory, or asked for by its own name through
// itself, stands here.
var reserved = []string{
	"", "api", "assets", "healthz", "https", "icon.svg", "index.html", "licenses.txt", "metrics", "probe", "readyz", "ring", "setup.sh", "snapshot",
}

func isReserved(segment string) bool { return slices.Contains(reserved, segment) }
