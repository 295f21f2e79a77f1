package dashboard

import (
	_ "embed"
	"net"
	"net/http"
	"regexp"
	"strings"
)

//go:embed setup.sh
var setupScript string

// setup serves the script that points a client's apt at the box, by the name in
// the request, and, while that is down, at the other boxes of the site.
func (d *Dashboard) setup(w http.ResponseWriter, r *http.Request) {
	box := d.box(r)
	if !plainHost.MatchString(box) {
		// Root runs the script.
		http.Error(w, "# The box's name in the Host header is not one that a script could hold.\nexit 1", http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/x-shellscript; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	script := strings.NewReplacer("@BOX@", box, "@OTHERS@", strings.Join(d.others(box), " "))
	w.Write([]byte(script.Replace(setupScript))) // a client that disconnected is no error
}

// plainHost is a host name or an address, with or without a port. None of its
// characters means anything to a shell or to apt's configuration.
var plainHost = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?$`)

// box is where apt reaches the box: by the name that the request used, unless that is the
// name of a proxy which serves the page under a path of its own.
func (d *Dashboard) box(r *http.Request) string {
	if r.Header.Get("X-Forwarded-Prefix") != "" {
		if all := d.addresses("", false); len(all) > 0 {
			return all[0].Address
		}
	}
	return d.boxAt(r.Host, r.TLS != nil)
}

// boxAt is where apt reaches a box whose page was reached by a Host header.
func (d *Dashboard) boxAt(reached string, encrypted bool) string {
	if d.clientPort == "" {
		if _, _, err := net.SplitHostPort(reached); err == nil {
			return reached
		}
		if encrypted {
			return reached + ":443" // where plain HTTP is served as well
		}
		return reached + ":80"
	}
	host, _, err := net.SplitHostPort(reached)
	if err != nil { // without a port
		host = strings.Trim(reached, "[]")
	}
	return net.JoinHostPort(host, d.clientPort)
}
