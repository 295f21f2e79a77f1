package dashboard

import (
	"cmp"
	"context"
	"slices"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

func (d *Dashboard) listMirrorLoads(_ context.Context, q *daysQuery) (api.MirrorLoads, error) {
	used := slices.DeleteFunc(d.ledger.Mirrors(time.Now(), q.Days), func(h ledger.MirrorHost) bool { return len(h.Days) == 0 })
	slices.SortStableFunc(used, func(a, b ledger.MirrorHost) int {
		return cmp.Compare(max(b.Sum.Taken().Bytes, b.Sum.Clients.Bytes), max(a.Sum.Taken().Bytes, a.Sum.Clients.Bytes))
	})
	answers, err := d.answers()
	if err != nil {
		return api.MirrorLoads{}, err
	}
	cut := page(used, q.Window)
	answer := api.MirrorLoads{Days: q.Days, Sum: loadOf(sumOf(used)), Total: cut.Total, Offset: cut.Offset, Items: []api.MirrorLoad{}}
	for _, h := range cut.Items {
		item := loadOf(h)
		item.Answers = answersOf(answers[h.Name])
		answer.Items = append(answer.Items, item)
	}
	return answer, nil
}

// answers has how hosts answered since the ledger began.
func (d *Dashboard) answers() (map[string][]ledger.Answer, error) {
	of := make(map[string][]ledger.Answer)
	for host, err := range d.ledger.Hosts("") {
		if err != nil {
			return nil, err
		}
		of[host.Name] = host.Answers
	}
	return of, nil
}

// sumOf adds hosts up, day by day.
func sumOf(hosts []ledger.MirrorHost) (sum ledger.MirrorHost) {
	for _, h := range hosts {
		sum.Sum = sum.Sum.Plus(h.Sum)
		if h.Last.After(sum.Last) {
			sum.Last = h.Last
		}
		for _, day := range h.Days {
			i, found := slices.BinarySearchFunc(sum.Days, day, func(a, b ledger.MirrorDay) int { return a.Start.Compare(b.Start) })
			if found {
				sum.Days[i].Sum = sum.Days[i].Sum.Plus(day.Sum)
			} else {
				sum.Days = slices.Insert(sum.Days, i, day)
			}
		}
	}
	return sum
}

func loadOf(h ledger.MirrorHost) api.MirrorLoad {
	taken, spared := h.Sum.Taken(), h.Sum.Spared()
	l := api.MirrorLoad{
		Host: h.Name, Last: timeIf(h.Last), Requests: taken.Requests, Bytes: taken.Bytes, Statuses: []api.StatusLoad{}, Answers: []api.HostAnswer{},
		ClientRequests: h.Sum.Clients.Requests, ClientBytes: h.Sum.Clients.Bytes, AvoidedRequests: h.Sum.Avoided,
		SparedRequests: spared.Requests, SparedBytes: spared.Bytes, Days: []api.MirrorDay{},
	}
	for class, load := range h.Sum.ByClass {
		if load != (ledger.Load{}) {
			l.Statuses = append(l.Statuses, api.StatusLoad{Class: ledger.Class(class).String(), Requests: load.Requests, Bytes: load.Bytes})
		}
	}
	for _, day := range h.Days {
		taken, spared := day.Sum.Taken(), day.Sum.Spared()
		l.Days = append(l.Days, api.MirrorDay{
			Start: day.Start, Requests: taken.Requests, Bytes: taken.Bytes, SparedRequests: spared.Requests, SparedBytes: spared.Bytes,
		})
	}
	return l
}
