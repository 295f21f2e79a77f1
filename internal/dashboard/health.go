package dashboard

import (
	"encoding/json"
	"net/http"

	"millpond/internal/api"
)

// healthz says that the process answers; nothing more, since a restart would
// not mend a mirror that is away.
func (d *Dashboard) healthz(w http.ResponseWriter, _ *http.Request) {
	d.json(w, http.StatusOK, api.Health{Status: "ok", Version: d.version})
}

// readyz says whether clients should come here, and what is degraded.
func (d *Dashboard) readyz(w http.ResponseWriter, _ *http.Request) {
	answer, code := d.readiness(), http.StatusOK
	if answer.Status == "unavailable" {
		code = http.StatusServiceUnavailable
	}
	d.json(w, code, answer)
}

func (d *Dashboard) readiness() api.Readiness {
	r := api.Readiness{Status: "ok", Faults: append([]api.Fault{}, d.ready()...)}
	if v, err := d.glance(); err == nil { // else the figures cannot be read, which has its own fault
		r.Faults = append(r.Faults, hourFaults(v.LastHour)...)
	}
	for _, f := range r.Faults {
		if f.Fatal {
			r.Status = "unavailable"
			break
		}
		r.Status = "degraded"
	}
	return r
}

// json writes v.
func (d *Dashboard) json(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		d.log.Error("answer not encoded", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(b, '\n')) // a client that disconnected is no error
}
