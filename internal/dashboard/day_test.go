package dashboard

import (
	"testing"
	"time"
)

// Days follow one another without a gap and without an hour that belongs to two, where
// clocks are set forward or back, at midnight too, and where a date is left out.
func TestDayOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		zone  string
		month time.Month
		year  int
	}{
		{"UTC", time.March, 2026},
		{"Europe/Berlin", time.March, 2026},
		{"Europe/Berlin", time.October, 2026},
		{"America/Sao_Paulo", time.November, 2018}, // no midnight on the 4th
		{"America/Sao_Paulo", time.February, 2018}, // two hours before that of the 18th
		{"Africa/Cairo", time.April, 2026},
		{"Asia/Beirut", time.March, 2026},
		{"America/Havana", time.November, 2026}, // two midnights on the 1st
		{"Australia/Lord_Howe", time.October, 2026},
		{"Pacific/Apia", time.December, 2011}, // no 30th
	} {
		loc, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(tt.year, tt.month, 1, 12, 0, 0, 0, loc)
		for last := dayOf(now); now.Month() == tt.month; now = now.Add(10 * time.Minute) {
			day := dayOf(now)
			if day.After(now) || now.Sub(day) >= 25*time.Hour || day.Day() != now.Day() {
				t.Fatalf("%s: the day of %v begins %v", tt.zone, now, day)
			}
			if before := day.Add(-1); before.Day() == now.Day() {
				t.Fatalf("%s: the day of %v began before %v", tt.zone, now, day)
			}
			if day.Before(last) {
				t.Fatalf("%s: the day of %v begins %v, before %v", tt.zone, now, day, last)
			}
			last = day
		}
	}
}
