package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Answer is how many requests to a host were answered with a status.
type Answer struct {
	Status   int // of HTTP, NoAnswer or OtherStatus
	Requests int64
}

// What stands in the place of a status.
const (
	NoAnswer    = 0 // no answer came
	OtherStatus = 1 // not of three digits, or one beyond maxStatuses
)

// maxStatuses is how many statuses of a host are told apart, NoAnswer among them.
// Mirrors send five or six; one that sends many must not make its row grow.
const maxStatuses = 16

// answers are those of a host in no order, each status once: at most maxStatuses and
// OtherStatus.
type answers []Answer

// note adds n requests answered with status.
func (s *answers) note(status int, n int64) {
	if status != NoAnswer && (status < 100 || status > 999) {
		status = OtherStatus
	}
	told := 0 // apart
	for i := range *s {
		if (*s)[i].Status == status {
			(*s)[i].Requests += n
			return
		}
		if (*s)[i].Status != OtherStatus {
			told++
		}
	}
	if status != OtherStatus && told == maxStatuses {
		s.note(OtherStatus, n)
		return
	}
	*s = append(*s, Answer{status, n})
}

// merge adds all that o has.
func (s *answers) merge(o answers) {
	for _, a := range o {
		s.note(a.Status, a.Requests)
	}
}

// sorted returns the answers in the order of their statuses.
func (s answers) sorted() []Answer {
	all := slices.Clone(s)
	slices.SortFunc(all, func(a, b Answer) int { return cmp.Compare(a.Status, b.Status) })
	return all
}

// append encodes how many there are, and each as two unsigned varints.
func (s answers) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, a := range s {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(a.Status)), uint64(a.Requests))
	}
	return b
}

// decodeAnswers reads what append wrote at the beginning of b, and returns the rest.
func decodeAnswers(b []byte) (s answers, rest []byte, err error) {
	next := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt64 {
			err = errors.New("damaged row: how requests were answered is cut short or out of range")
			return 0
		}
		b = b[n:]
		return v
	}
	n := next()
	if n > maxStatuses+1 {
		return nil, nil, fmt.Errorf("damaged row: %d statuses, more than %d", n, maxStatuses+1)
	}
	for range n {
		status, requests := next(), next()
		if err == nil && status > 999 {
			err = fmt.Errorf("damaged row: status %d", status)
		}
		if err != nil {
			return nil, nil, err
		}
		s = append(s, Answer{int(status), int64(requests)})
	}
	return s, b, err
}
