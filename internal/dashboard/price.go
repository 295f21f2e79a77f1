package dashboard

import (
	"context"
	"strings"
	"sync"
	"unicode"

	"millpond/internal/api"
)

// price is what a gigabyte costs.
type price struct {
	keep func(api.Price) error

	mu  sync.Mutex
	now api.Price // guarded by mu
}

// money is what so many bytes would have cost.
func (p *price) money(saved int64) api.Money {
	p.mu.Lock()
	defer p.mu.Unlock()
	return api.Money{Price: p.now, Saved: float64(saved) / 1e9 * p.now.PerGB}
}

func (d *Dashboard) getPrice(context.Context, *none) (api.Price, error) {
	return d.price.money(0).Price, nil
}

// priceRequest sets the price.
type priceRequest struct{ Body api.Price }

func (d *Dashboard) setPrice(_ context.Context, in *priceRequest) error {
	now := in.Body
	now.Currency = strings.TrimSpace(now.Currency)
	if strings.ContainsFunc(now.Currency, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.Is(unicode.Sc, c) && !strings.ContainsRune(". ", c)
	}) {
		return wrong("currency is letters or a sign, such as EUR or $")
	}
	d.price.mu.Lock()
	defer d.price.mu.Unlock()
	if err := d.price.keep(now); err != nil {
		return err
	}
	d.price.now = now
	return nil
}
