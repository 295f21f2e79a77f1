package dashboard

import "net/http"

// Setting is one variable as the box runs with it.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"` // in force; never a secret
	Default string `json:"default"`
	Takes   string `json:"takes"`
	Help    string `json:"help"`
	Set     bool   `json:"set"` // by the environment
}

// Settings is what GET /api/v1/settings returns.
type Settings struct {
	Admin      bool      `json:"admin"`       // whether admin actions are on
	ClientPort string    `json:"client_port"` // where apt comes, if not where the page is read
	Settings   []Setting `json:"settings"`
}

func (d *Dashboard) settings(w http.ResponseWriter, _ *http.Request) {
	d.json(w, http.StatusOK, Settings{d.AdminToken != "", d.ClientPort, append([]Setting{}, d.Options.Settings...)})
}
