package api

// Price is what a gigabyte from a mirror costs the site.
type Price struct {
	PerGB    float64 `json:"per_gb" minimum:"0" maximum:"1000000" doc:"for 10^9 bytes; 0 shows no money"`
	Currency string  `json:"currency" maxLength:"8" doc:"as it is to be shown, such as EUR or $"`
}

// Money is what the saved bytes would have cost.
type Money struct {
	Price
	Saved float64 `json:"saved" doc:"since the ledger began; negative while more was taken from mirrors than given to clients"`
}

// Widget is what GET /api/v1/widget returns: figures for the widgets of other pages, such
// as Homepage's customapi, each as a number and as text.
type Widget struct {
	Status         string  `json:"status" enum:"ok,degraded,unavailable"`
	Fault          string  `json:"fault" doc:"the first reason why the status is not ok; empty if it is"`
	Saved          string  `json:"saved" doc:"since the ledger began, such as 1.23 TB"`
	SavedBytes     int64   `json:"saved_bytes"`
	SavedPercent   float64 `json:"saved_percent" doc:"of what clients got; 0 while nothing is saved"`
	Delivered      string  `json:"delivered" doc:"to clients, since the ledger began"`
	DeliveredBytes int64   `json:"delivered_bytes"`
	Today          string  `json:"saved_today"`
	TodayBytes     int64   `json:"saved_today_bytes"`
	Month          string  `json:"saved_month" doc:"of the last 30 days"`
	MonthBytes     int64   `json:"saved_month_bytes"`
	Money          string  `json:"money" doc:"that the saved bytes would have cost, such as 12.30 EUR; empty without a price"`
	MoneySaved     float64 `json:"money_saved" doc:"the same as a number"`
	Held           string  `json:"held" doc:"on disk"`
	HeldBytes      int64   `json:"held_bytes"`
	Files          int64   `json:"files" doc:"on disk"`
	Clients        int     `json:"clients" doc:"that have made requests; 0 if MILLPOND_PRIVACY has none counted"`
	Downloads      int     `json:"downloads" doc:"under way"`
}

// Setup is what GET /api/v1/setup returns.
type Setup struct {
	Reached   string       `json:"reached" doc:"host and port by which the reader of this answer reached the box"`
	Local     bool         `json:"local" doc:"only the box itself reaches it so, or a proxy stands between: choose one of the candidates"`
	Addresses []BoxAddress `json:"addresses" doc:"by which clients are likely to reach the box, the best first"`
}

// BoxAddress is a host and port for apt.
type BoxAddress struct {
	Address string `json:"address" doc:"host and port, for apt"`
	Kind    string `json:"kind" enum:"request,setting,interface,hostname" doc:"by which the page is read now; a name in MILLPOND_DASHBOARD_ACCESS; an address of an interface; the machine's own name"`
	Via     string `json:"via" doc:"the interface; empty for names"`
	Script  string `json:"script" doc:"URL of the script that sets up a client"`
}
