package dashboard

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strings"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"bytes": formatBytes}).Parse(pageSource))

// pagePolicy lets the page have its one style element, named by its hash, and
// nothing else: no script, no request, no frame around it.
var pagePolicy = func() string {
	_, after, _ := strings.Cut(pageSource, "<style>")
	style, _, _ := strings.Cut(after, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// page is the plain front page. It is rendered before a header goes out, so
// that a fault is a clean 500.
func (d *Dashboard) page(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, struct {
		Summary
		Box    string
		Faults []Fault
	}{d.snapshot(), d.box(r), d.Ready()})
	if err != nil {
		d.Log.Error("the page could not be rendered", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store")
	w.Write(b.Bytes()) // a client that left is nobody's error
}

// box is where apt reaches the box: the name by which its reader does.
func (d *Dashboard) box(r *http.Request) string {
	if d.ClientPort == "" {
		return r.Host
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil { // without a port
		host = strings.Trim(r.Host, "[]")
	}
	return net.JoinHostPort(host, d.ClientPort)
}

// formatBytes writes n in decimal units, as disks, links and apt itself count.
func formatBytes(n int64) string {
	sign, v := "", float64(n)
	if v < 0 {
		sign, v = "−", -v
	}
	if v < 1000 {
		return fmt.Sprintf("%s%.0f B", sign, v)
	}
	unit := 0
	for v >= 999.95 && unit < 6 {
		v /= 1000
		unit++
	}
	return fmt.Sprintf("%s%.1f %cB", sign, v, " kMGTPE"[unit])
}
