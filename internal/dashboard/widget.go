package dashboard

import (
	"context"
	"fmt"
	"math"
	"strings"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

func (d *Dashboard) getWidget(ctx context.Context, _ *none) (api.Widget, error) {
	periods, err := d.getPeriods(ctx, new(periodsQuery))
	if err != nil {
		return api.Widget{}, err
	}
	clients := 0
	for a, err := range d.ledger.Clients("") {
		if err != nil {
			return api.Widget{}, err
		}
		if a.Name != ledger.Others {
			clients++
		}
	}
	s, ready := d.snapshot(), d.readiness()
	w := api.Widget{
		Status: ready.Status,
		Saved:  FormatBytes(s.SavedBytes), SavedBytes: s.SavedBytes, SavedPercent: percent(s.SavedBytes, s.ClientBytes),
		Delivered: FormatBytes(s.ClientBytes), DeliveredBytes: s.ClientBytes,
		Today: FormatBytes(periods.Day.SavedBytes), TodayBytes: periods.Day.SavedBytes,
		Month: FormatBytes(periods.Month.SavedBytes), MonthBytes: periods.Month.SavedBytes,
		Money: moneyText(s.Money), MoneySaved: math.Round(s.Money.Saved*100) / 100,
		Held: FormatBytes(s.BlobBytes), HeldBytes: s.BlobBytes, Files: s.Blobs,
		Clients: clients, Downloads: s.Downloads,
	}
	if len(ready.Faults) > 0 {
		w.Fault = ready.Faults[0].What + ": " + ready.Faults[0].Why
	}
	return w, nil
}

// percent is the part of a whole with one decimal, never rounded up.
func percent(part, whole int64) float64 {
	if part <= 0 || whole <= 0 {
		return 0
	}
	return math.Floor(1000*float64(part)/float64(whole)) / 10
}

// moneyText is "" without a price.
func moneyText(m api.Money) string {
	if m.PerGB == 0 {
		return ""
	}
	sign := ""
	if m.Saved < 0 {
		sign = "−"
	}
	return strings.TrimSpace(fmt.Sprintf("%s%.2f %s", sign, math.Abs(m.Saved), m.Currency))
}
