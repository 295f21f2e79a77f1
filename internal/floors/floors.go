// Package floors holds the test that keeps the house in order: which package
// stands on which floor, who may import whom, that every package says what it
// is, and that no file outgrows a reader. It has no other content.
package floors
