// Package floors holds the tests of what no compiler or linter checks in this
// tree: which package stands on which floor and may import which other, that
// every package has a comment that says what it is, that files stay short, and
// that the documents' links and the tests they name exist. It has no other
// content.
package floors
