package dashboard

import (
	"net/http"
	"net/url"
	"testing"

	"millpond/internal/api"
)

// Whatever times are asked for, the answer is JSON: figures, or what is wrong.
func TestSeriesOfAnyTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	times := []string{
		"", "0000-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z", "1969-12-31T23:59:59Z",
		"1970-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2262-04-12T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00",
	}
	for _, path := range []string{"series", "site/series", "ledger.csv"} {
		for _, step := range []string{"", "minute", "hour", "day"} {
			for _, from := range times {
				for _, to := range times {
					q := make(url.Values)
					for key, value := range map[string]string{"step": step, "from": from, "to": to} {
						if value != "" {
							q.Set(key, value)
						}
					}
					target := "/api/v1/" + path + "?" + q.Encode()
					w := r.do(t, http.MethodGet, target, "", "")
					switch {
					case w.Code == http.StatusBadRequest:
						decode[api.Problem](t, w.Body.Bytes())
					case w.Code != http.StatusOK:
						t.Errorf("GET %s: %d: %.200s", target, w.Code, w.Body)
					case path != "ledger.csv":
						decode[api.Series](t, w.Body.Bytes())
					}
				}
			}
		}
	}
}
