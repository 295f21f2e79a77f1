package account

import (
	"fmt"
	"time"

	"millpond/internal/clock"
	"millpond/internal/kv"
)

// day is for how long a budget lasts, from its first byte on.
const day = 24 * time.Hour

const budgetKey = "budget"

// budget is what was spent since the day began.
type budget struct {
	Began   time.Time
	Reading clock.Reading // of Began
	Bytes   int64
}

// left is how long the day still lasts. One that began in the future, by a clock that was
// ahead, or is read by one that is behind, begins anew, with what was spent.
func (b *budget) left() time.Duration {
	if b.Began.IsZero() {
		return 0
	}
	passed, _, ok := clock.Since(b.Began, b.Reading)
	if !ok {
		b.Began, b.Reading = time.Now(), clock.Read()
		return day
	}
	return day - passed
}

// spent returns what was spent in the present day, and when that ends.
func (b *budget) spent() (n int64, ends time.Time) {
	left := b.left()
	if left <= 0 {
		return 0, time.Time{}
	}
	return b.Bytes, time.Now().Add(left)
}

// spend counts n bytes, fewer than none for what was not needed.
func (b *budget) spend(n int64) {
	if b.left() <= 0 {
		*b = budget{Began: time.Now(), Reading: clock.Read()}
	}
	b.Bytes = max(b.Bytes+n, 0)
}

// Left is how many bytes of the day's budget are left.
func (a *Account) Left() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, _ := a.budget.spent()
	return max(a.limit-n, 0)
}

// Spend counts n bytes that are about to be taken, or with less than none those that were
// not. It is on disk when it returns: no start has a day begin anew.
func (a *Account) Spend(n int64) error {
	a.spending.Lock()
	defer a.spending.Unlock()
	a.mu.Lock()
	a.budget.spend(n)
	b := a.budget
	a.mu.Unlock()
	if err := kv.PutJSON(a.table, budgetKey, b); err != nil {
		return fmt.Errorf("writing what was fetched ahead today: %w", err)
	}
	return nil
}
