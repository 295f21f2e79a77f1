package ledger

import (
	"net/netip"
	"testing"
	"time"
)

// A ledger's days are those of UTC: what is counted while local clocks are set forward or
// back, or by a box that moved to another time zone, is in one day each.
func TestDaysDoNotDependOnZones(t *testing.T) {
	t.Parallel()
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	for _, tt := range []struct {
		name          string
		begins        time.Time
		before, after *time.Location // the zone is another one from the third day on
	}{
		{"summer begins", time.Date(2026, time.March, 27, 0, 0, 0, 0, time.UTC), zone("Europe/Berlin"), zone("Europe/Berlin")},
		{"summer ends", time.Date(2026, time.October, 23, 0, 0, 0, 0, time.UTC), zone("Europe/Berlin"), zone("Europe/Berlin")},
		{"no midnight", time.Date(2018, time.November, 2, 0, 0, 0, 0, time.UTC), zone("America/Sao_Paulo"), zone("America/Sao_Paulo")},
		{"moved west", time.Date(2026, time.March, 27, 0, 0, 0, 0, time.UTC), zone("Asia/Tokyo"), zone("America/Los_Angeles")},
		{"moved east", time.Date(2026, time.March, 27, 0, 0, 0, 0, time.UTC), zone("America/Los_Angeles"), zone("Pacific/Auckland")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const days, perHour = 5, 4
			_, table := openTable(t, t.TempDir())
			l := openLedger(t, table)
			client := netip.MustParseAddr("10.0.0.1")
			for i := range days * 24 * perHour {
				now := tt.begins.Add(time.Duration(i) * time.Hour / perHour)
				in := tt.before
				if i >= 2*24*perHour {
					in = tt.after
				}
				l.deliver(now.In(in), client, File{Host: "archive.example.org"}, Counts{Requests: 1})
				if i == 2*24*perHour { // a box gets another zone by a restart
					flush(t, l)
					l = openLedger(t, table)
				}
			}
			points, err := l.Series(Day, tt.begins.Add(-48*time.Hour), tt.begins.Add((days+2)*24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if len(points) != days {
				t.Errorf("%d days, want %d", len(points), days)
			}
			for i, p := range points {
				if start := tt.begins.AddDate(0, 0, i); !p.Start.Equal(start) || p.Requests != 24*perHour {
					t.Errorf("%d requests at %v, want %d at %v", p.Requests, p.Start, 24*perHour, start)
				}
			}
		})
	}
}
