package mirror

// Login is the value of an Authorization header (RFC 9110, section 11.6.2). It
// is a secret, and formats as none, so that no log, page or error shows it.
type Login string

// String implements fmt.Stringer.
func (l Login) String() string {
	if l == "" {
		return "no login"
	}
	return "a login"
}
