package front

import "crypto/rand"

// RequestID is the header field that has the name of an answer.
const RequestID = "X-Request-Id"

// NewRequestID names one answer, in the log and in what its client is told, so that one
// is found by the other. It is always the box's own: a client could choose one that is
// another's.
func NewRequestID() string { return rand.Text()[:8] }
