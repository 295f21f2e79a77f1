// Command use asks the box at the URL os.Args[1] through the generated client, as the
// administrator with the token os.Args[2].
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"millpond/e2e/clients/millpond"
)

func main() {
	if err := use(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func use(box, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := millpond.NewClientWithResponses(box)
	if err != nil {
		return err
	}
	price := millpond.Price{PerGb: 0.05, Currency: "EUR"}
	refused, err := c.SetPriceWithResponse(ctx, price)
	if err != nil {
		return err
	}
	if p := refused.ApplicationproblemJSONDefault; refused.StatusCode() != http.StatusUnauthorized || p == nil || p.Detail == "" {
		return fmt.Errorf("without the token: %d, problem %+v", refused.StatusCode(), p)
	}
	asAdmin := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	set, err := c.SetPriceWithResponse(ctx, price, asAdmin)
	if err != nil {
		return err
	}
	if set.StatusCode() != http.StatusNoContent {
		return fmt.Errorf("with the token: %d: %s", set.StatusCode(), set.Body)
	}
	summary, err := c.GetSummaryWithResponse(ctx)
	if err != nil {
		return err
	}
	if s := summary.JSON200; s == nil || s.Money.PerGb != price.PerGb || s.Money.Currency != "EUR" || s.Since.IsZero() {
		return fmt.Errorf("summary: %s", summary.Body)
	}
	series, err := c.GetSeriesWithResponse(ctx, &millpond.GetSeriesParams{From: ptr(time.Now().Add(-time.Hour))})
	if err != nil {
		return err
	}
	if s := series.JSON200; s == nil || s.Interval != 60 {
		return fmt.Errorf("series: %s", series.Body)
	}
	clients, err := c.ListClientsWithResponse(ctx, &millpond.ListClientsParams{Limit: ptr(int64(10))})
	if err != nil {
		return err
	}
	if clients.JSON200 == nil || clients.JSON200.Items == nil {
		return fmt.Errorf("clients: %s", clients.Body)
	}
	unknown, err := c.GetClientWithResponse(ctx, "10.9.9.9")
	if err != nil {
		return err
	}
	if p := unknown.ApplicationproblemJSONDefault; p == nil || p.Status != http.StatusNotFound {
		return fmt.Errorf("an unknown client: %d: %s", unknown.StatusCode(), unknown.Body)
	}
	return nil
}

func ptr[T any](v T) *T { return &v }
