package account

import (
	"fmt"
	"time"

	"millpond/internal/clock"
	"millpond/internal/kv"
)

const (
	// day is for how long a budget lasts, from its first byte on; the first one begins
	// with the account.
	day = 24 * time.Hour
	// saveFor is for how many days, the present one among them, what was not spent of
	// their budgets may be spent: a budget below the size of one kernel a wave would
	// never fetch one.
	saveFor = 7
)

const budgetKey = "budget"

// budget is what was spent since the day began, and what days before have left.
type budget struct {
	Began   time.Time
	Reading clock.Reading // of Began
	Bytes   int64
	Saved   int64 // of days before, as it was when the day began
}

// left is how long the day still lasts. One that began in the future, by a clock that was
// ahead, or is read by one that is behind, begins anew, with what was spent.
func (b *budget) left() time.Duration {
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
	if left <= 0 || b.Bytes == 0 {
		return 0, time.Time{}
	}
	return b.Bytes, time.Now().Add(left)
}

// saved is what days before have left of a budget of limit bytes a day, of which there
// may be saveFor-1 days' more.
func (b *budget) saved(limit int64) int64 {
	left := b.left()
	if left > 0 {
		return min(b.Saved, (saveFor-1)*limit)
	}
	days := int64(-left/day) + 1 // that ended, the one that has a record and those since
	return min(max(b.Saved+limit-b.Bytes, 0)+min(days-1, saveFor)*limit, (saveFor-1)*limit)
}

// spend counts n bytes, fewer than none for what was not needed.
func (b *budget) spend(n, limit int64) {
	if b.left() <= 0 {
		*b = budget{Began: time.Now(), Reading: clock.Read(), Saved: b.saved(limit)}
	}
	b.Bytes = max(b.Bytes+n, 0)
}

// Left is how many bytes are left of the day's budget and of those of the days before.
func (a *Account) Left() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, _ := a.budget.spent()
	return max(a.budget.saved(a.limit)+a.limit-n, 0)
}

// Most is how many bytes there may be left at most.
func (a *Account) Most() int64 { return saveFor * a.limit }

// Spend counts n bytes that are about to be taken, or with less than none those that were
// not. It is on disk when it returns: no start has a day begin anew.
func (a *Account) Spend(n int64) error {
	a.spending.Lock()
	defer a.spending.Unlock()
	a.mu.Lock()
	a.budget.spend(n, a.limit)
	b := a.budget
	a.mu.Unlock()
	if err := kv.PutJSON(a.table, budgetKey, b); err != nil {
		return fmt.Errorf("writing what was fetched ahead today: %w", err)
	}
	return nil
}
