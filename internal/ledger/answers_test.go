package ledger

import (
	"slices"
	"testing"
)

// A mirror that sends ever other statuses has most of them counted as others, in
// memory and on disk.
func TestStatusesAreBounded(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	const odd = 5 // no statuses of three digits
	for status := range 1000 + odd {
		l.Asked(file, status)
		l.Asked(file, 999-status)
		if status%100 == 0 {
			flush(t, l)
		}
	}
	for range 2 {
		got := collect(t, l.Hosts(""))[0]
		if len(got.Answers) != maxStatuses+1 || !slices.IsSortedFunc(got.Answers, func(a, b Answer) int { return a.Status - b.Status }) {
			t.Errorf("answers = %v, want %d statuses and others, in order", got.Answers, maxStatuses)
		}
		if got.Answers[0].Status != NoAnswer || got.Answers[1].Status != OtherStatus || got.Answers[1].Requests < 1900 {
			t.Errorf("answers = %v, want the first two to be none and others", got.Answers)
		}
		checkSums(t, l)
		l = openLedger(t, table)
	}
}

// Rows of earlier versions are read, and written as they were as long as nothing
// is in them that only a later one has.
func TestRowVersions(t *testing.T) {
	t.Parallel()
	recent := recentClients{{client: client, last: 1, requests: 2, bytes: 3}}
	for version, r := range map[byte]row{
		rowVersion:      {first: 1, last: 2, Counts: Counts{Requests: 3}},
		recentVersion:   {Counts: Counts{Requests: 3}, recent: recent},
		requestsVersion: {Counts: Counts{AvoidedRequests: 3}, recent: recent},
		firstVersion:    {recent: recentClients{{client: client, last: 2, first: 1}}},
	} {
		if b := r.encode(); b[0] != version {
			t.Errorf("%+v is written in version %d, want %d", r, b[0], version)
		}
	}
}

// A ledger that was kept before requests to mirrors were counted goes on.
func TestLedgerWithoutRequests(t *testing.T) {
	t.Parallel()
	_, table := openTable(t, t.TempDir())
	fill(t, table, "testdata/no-requests.rows")
	want := Counts{Requests: 20, DeliveredStore: 20000, MirrorTaken: 2000}
	l := openLedger(t, table)
	if got, _ := l.Totals(); got != want {
		t.Errorf("totals = %+v, want %+v", got, want)
	}
	checkSums(t, l)
	f := File{"h0.example.org", "lib0"}
	l.Asked(f, 304)
	l.Avoided(f)
	want.MirrorRequests, want.AvoidedRequests = 1, 1
	flush(t, l)
	l = openLedger(t, table)
	if got, _ := l.Totals(); got != want {
		t.Errorf("totals = %+v, want %+v", got, want)
	}
	if _, recent, err := l.Package("lib0"); err != nil || len(recent) != 2 {
		t.Errorf("clients of the package: %v, %v; want the two that were there", recent, err)
	}
	checkSums(t, l)
}
