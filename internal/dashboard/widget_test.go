package dashboard

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millpond/internal/api"
)

func TestPrice(t *testing.T) {
	t.Parallel()
	var kept api.Price
	var broken error
	r := newRig(t, func(o *Options) {
		o.Price = api.Price{PerGB: 2, Currency: "EUR"}
		o.KeepPrice = func(p api.Price) error {
			if broken == nil {
				kept = p
			}
			return broken
		}
	})
	if got := get[api.Price](t, r, "/api/v1/price"); got != (api.Price{PerGB: 2, Currency: "EUR"}) {
		t.Errorf("what was kept: %+v", got)
	}
	set := func(token, body string) int {
		t.Helper()
		return r.do(t, http.MethodPut, "/api/v1/price", token, body).Code
	}
	for _, tt := range []struct {
		token, body string
		status      int
	}{
		{"", `{"per_gb": 1, "currency": "EUR"}`, 401},
		{token, `{"per_gb": -1, "currency": "EUR"}`, 400},
		{token, `{"per_gb": 1, "currency": "a long currency"}`, 400},
		{token, `{"per_gb": 1, "currency": "<b>"}`, 400},
		{token, `{"per_gb": "1", "currency": "EUR"}`, 400},
		{token, `{"per_gb": 1e9, "currency": "EUR"}`, 400},
	} {
		if got := set(tt.token, tt.body); got != tt.status {
			t.Errorf("%s: %d, want %d", tt.body, got, tt.status)
		}
	}
	if kept != (api.Price{}) {
		t.Errorf("a wrong price was kept: %+v", kept)
	}
	if got := set(token, `{"per_gb": 1000000, "currency": " $ "}`); got != 204 || kept != (api.Price{PerGB: 1e6, Currency: "$"}) {
		t.Errorf("%d: %+v", got, kept)
	}
	// 600 bytes are saved.
	if got := get[api.Summary](t, r, "/api/v1/summary").Money; got != (api.Money{Price: kept, Saved: 0.6}) {
		t.Errorf("%+v", got)
	}
	if got := get[api.Widget](t, r, "/api/v1/widget"); got.Money != "0.60 $" || got.MoneySaved != 0.6 {
		t.Errorf("%q, %v", got.Money, got.MoneySaved)
	}
	broken = errors.New("the disk is full")
	if got := set(token, `{"per_gb": 3, "currency": "EUR"}`); got != 500 {
		t.Errorf("a price that cannot be kept: %d", got)
	}
	if got := get[api.Price](t, r, "/api/v1/price"); got != kept {
		t.Errorf("a price that was not kept is in force: %+v", got)
	}
}

func TestMoneyText(t *testing.T) {
	t.Parallel()
	eur := api.Price{PerGB: 1, Currency: "EUR"}
	for want, m := range map[string]api.Money{
		"": {Saved: 3}, "12.35 EUR": {Price: eur, Saved: 12.346}, "−0.50 EUR": {Price: eur, Saved: -0.5}, "1.00": {Price: api.Price{PerGB: 1}, Saved: 1},
	} {
		if got := moneyText(m); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
}

func TestWidget(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	got := get[api.Widget](t, r, "/api/v1/widget")
	want := api.Widget{
		Status: "degraded", Fault: "disk: is full", Saved: "600 B", SavedBytes: 600, SavedPercent: 60, Delivered: "1.0 kB", DeliveredBytes: 1000,
		Today: "600 B", TodayBytes: 600, Month: "600 B", MonthBytes: 600, Held: FormatBytes(r.store.Usage().Bytes), HeldBytes: r.store.Usage().Bytes,
		Files: 2, Clients: 2, Downloads: 29,
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The example for Homepage in docs/using/page.md names fields of a real answer, with formats that
// their values have.
func TestDocumentedWidget(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/using/page.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "## On other pages")
	_, text, _ = strings.Cut(text, "```yaml\n")
	text, _, ok := strings.Cut(text, "```")
	if !ok || !strings.Contains(text, "type: customapi") {
		t.Fatalf("the page has no such example: %s", text)
	}
	address := regexp.MustCompile(`(?m)^ *url: http://[^/]+(/.*)$`).FindStringSubmatch(text)
	if address == nil {
		t.Fatal("the example has no url")
	}
	answer := get[map[string]any](t, newRig(t, nil), address[1])
	mappings := regexp.MustCompile(`(?m)^ *- field: (\w+)\n *label: .+\n(?: *format: (\w+)\n)?`).FindAllStringSubmatch(text, -1)
	if len(mappings) != strings.Count(text, "field:") || len(mappings) < 3 {
		t.Fatalf("%d of the fields can be read: %v", len(mappings), mappings)
	}
	for _, m := range mappings {
		field, format := m[1], m[2]
		value, known := answer[field]
		number, isNumber := value.(float64)
		switch {
		case !known:
			t.Errorf("%s is no field of %v", field, answer)
		case slices.Contains([]string{"number", "float", "percent", "bytes"}, format) != isNumber:
			t.Errorf("%s with format %q is %v", field, format, value)
		case format == "percent" && (number < 0 || number > 100):
			t.Errorf("%s is %v %%", field, number)
		case value == "":
			t.Errorf("%s is empty", field)
		}
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		part, whole int64
		want        float64
	}{{0, 0, 0}, {-5, 10, 0}, {9999, 10_000, 99.9}, {10, 10, 100}, {16_700_000, 135_000_000_000, 0}, {1, 3, 33.3}} {
		if got := percent(tt.part, tt.whole); got != tt.want {
			t.Errorf("%d of %d: %v, want %v", tt.part, tt.whole, got, tt.want)
		}
	}
}

// Of a page that is read at the box itself, or behind another server, the addresses are
// those of the box and not of the request.
func TestSetupAddresses(t *testing.T) {
	t.Parallel()
	o := options()
	o.Access.Names = []string{"apt.example.org", "*.example.net"}
	o.Places = Places{
		Port: "3142", PagePort: "3142", Hostname: "cellar",
		Interfaces: func() []Place {
			return []Place{
				{addr("127.0.0.1"), "lo"}, {addr("::1"), "lo"}, {addr("fe80::1"), "eth0"}, {addr("172.17.0.1"), "docker0"}, {addr("fd00::5"), "eth0"},
				{addr("198.51.100.7"), "eth1"}, {addr("10.1.0.5"), "eth0"},
			}
		},
	}
	own := []string{"apt.example.org:3142", "10.1.0.5:3142", "198.51.100.7:3142", "[fd00::5]:3142", "cellar:3142"}
	for _, tt := range []struct {
		host, forwarded string
		local           bool
		want            []string
	}{
		{host: "127.0.0.1:3142", local: true, want: own},
		{host: "localhost:3142", local: true, want: own},
		{host: "[::1]:3142", local: true, want: own},
		{host: "0.0.0.0:3142", local: true, want: own},
		{host: "box.lan", forwarded: "/millpond", local: true, want: own},
		{host: "10.1.0.5:8080", want: append([]string{"10.1.0.5:8080", "apt.example.org:3142"}, own[2:]...)},
		{host: "box.lan", want: append([]string{"box.lan:80"}, own...)},
	} {
		h := New(o).Handler()
		r, w := requestTo(t, "/api/v1/setup", tt.host)
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-Prefix", tt.forwarded)
		}
		h.ServeHTTP(w, r)
		got := decode[api.Setup](t, w.Body.Bytes())
		var all []string
		for _, a := range got.Addresses {
			all = append(all, a.Address)
			if a.Script == "" || !strings.HasPrefix(a.Script, "http://") || !strings.HasSuffix(a.Script, "/setup.sh") {
				t.Errorf("%s: script %q", a.Address, a.Script)
			}
		}
		if strings.Join(all, " ") != strings.Join(tt.want, " ") || got.Local != tt.local || got.Reached != tt.host {
			t.Errorf("%s: %+v, want %v", tt.host, got, tt.want)
		}
		r, w = requestTo(t, "/setup.sh", tt.host)
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-Prefix", tt.forwarded)
		}
		h.ServeHTTP(w, r)
		if want := "box='" + tt.want[0] + "'"; tt.forwarded != "" && !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: the script has not %s", tt.host, want)
		}
	}
	many := []Place{{addr("10.2.0.1"), "eth0"}}
	for len(many) < 300 {
		many = append(many, Place{many[len(many)-1].Addr.Next(), "eth0"})
	}
	o.Places.Interfaces = func() []Place { return many }
	if got := decode[api.Setup](t, ask(o, http.MethodGet, "/api/v1/setup", "box").Body.Bytes()); len(got.Addresses) != maxPlaces {
		t.Errorf("%d addresses, want %d", len(got.Addresses), maxPlaces)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func requestTo(t *testing.T, path, host string) (*http.Request, *httptest.ResponseRecorder) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Host = host
	return r, httptest.NewRecorder()
}
