package main

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// faults collects the invalid settings of an environment.
type faults struct {
	vars map[string]string
	all  []error
}

// add records err, if it is not nil, for the setting of that name.
func (f *faults) add(name string, err error) {
	if err == nil {
		return
	}
	full := prefix + name
	all := settings()
	s := all[slices.IndexFunc(all, func(s setting) bool { return s.Name == full })]
	given := fmt.Sprintf("%s=%q", full, f.vars[full])
	if s.secret {
		given = full
	}
	f.all = append(f.all, errors.New(userInURL.ReplaceAllString(fmt.Sprintf("%s: takes %s: %v", given, s.Takes, plain(err)), "://xxxxx@")))
}

// plain is the message of err without the name of the system call that failed with a file.
func plain(err error) string {
	text := err.Error()
	var file *fs.PathError
	if errors.As(err, &file) {
		text = strings.ReplaceAll(text, file.Error(), file.Path+": "+file.Err.Error())
	}
	return text
}

// userInURL finds a login in a URL, which may stand in a setting that takes none.
// A password may have any character in it.
var userInURL = regexp.MustCompile(`://[^ ]*@`)

// parsing records the parser's errors.
func (f *faults) parsing(err error) {
	if err == nil {
		return
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		f.all = append(f.all, err)
		return
	}
	for _, err := range all.Errors {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			f.all = append(f.all, err)
			continue
		}
		field, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
		f.add(field.Tag.Get("env"), parse.Err)
	}
}

// Kubernetes sets variables in every pod for every Service of its namespace.
// Those for a Service called millpond, or millpond-something, are not settings:
// MILLPOND_SERVICE_HOST, MILLPOND_PORT=tcp://10.0.0.1:3142,
// MILLPOND_PORT_3142_TCP_ADDR.
var (
	serviceName  = regexp.MustCompile(`^([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort  = regexp.MustCompile(`^([A-Z0-9_]+_)?PORT$`)
	serviceValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// unknown records variables that look like settings but are not, most likely
// because they are misspelt.
func (f *faults) unknown() {
	var known []string
	for _, s := range settings() {
		known = append(known, strings.TrimPrefix(s.Name, prefix))
		if s.inFile() {
			known = append(known, strings.TrimPrefix(s.Name, prefix)+fromFile)
		}
	}
	for name, value := range f.vars {
		short, ours := strings.CutPrefix(name, prefix)
		if !ours || slices.Contains(known, short) || serviceName.MatchString(short) ||
			servicePort.MatchString(short) && serviceValue.MatchString(value) {
			continue
		}
		// Without the value, which may be a secret.
		f.all = append(f.all, fmt.Errorf("%s: no such setting; `millpond help` lists them all", name))
	}
}
