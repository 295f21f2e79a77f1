// Package manual holds the tests of docs/, the manual: that each text by which a box tells a
// person of trouble has an entry on the pages of docs/troubleshooting, that the glossary is
// the one of ARCHITECTURE.md, that each command on a page is run by a test (in e2e/manual)
// or says why none does, that blocks name no real hosts, and that each page is in the site's
// navigation. It has no other content.
package manual
