package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// stage is the last stage of the Dockerfile, from scratch: all that an image is.
type stage struct {
	copies []copyLine
	config v1.Config
}

// copyLine is a COPY of one file or directory.
type copyLine struct {
	line, stage, from, to string
	uid, gid              int
}

// parseStage reads a stage with the values of its build arguments. What it does not know
// is an error: the image would lack it.
func parseStage(text string, args map[string]string) (s stage, err error) {
	lines := instructions(text)
	begun := false
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if word == "FROM" {
			s, begun = stage{}, rest == "scratch"
			continue
		}
		if !begun {
			continue
		}
		if err := s.add(word, rest, line, args); err != nil {
			return s, fmt.Errorf("%s: %w", line, err)
		}
	}
	if !begun {
		return s, errors.New("it is not FROM scratch")
	}
	return s, nil
}

// instructions joins continued lines and leaves out comments.
func instructions(text string) (all []string) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		part, more := strings.CutSuffix(line, `\`)
		b.WriteString(strings.TrimSpace(part))
		if more {
			b.WriteByte(' ')
			continue
		}
		all = append(all, b.String())
		b.Reset()
	}
	return all
}

// add is one instruction.
func (s *stage) add(word, rest, line string, args map[string]string) (err error) {
	c := &s.config
	switch word {
	case "ARG":
		name, _, _ := strings.Cut(rest, "=")
		if _, ok := args[name]; !ok {
			return errors.New("the release has no value for it")
		}
	case "LABEL", "ENV":
		pairs, err := assignments(os.Expand(rest, func(name string) string { return args[name] }))
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if word == "ENV" {
				c.Env = append(c.Env, p[0]+"="+p[1])
				continue
			}
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			c.Labels[p[0]] = p[1]
		}
	case "COPY":
		var l copyLine
		l, err = parseCopy(rest)
		l.line = line
		s.copies = append(s.copies, l)
	case "USER":
		c.User = rest
	case "WORKDIR":
		c.WorkingDir = rest
	case "STOPSIGNAL":
		c.StopSignal = rest
	case "VOLUME":
		c.Volumes = set(rest, "")
	case "EXPOSE":
		c.ExposedPorts = set(rest, "/tcp")
	case "HEALTHCHECK":
		c.Healthcheck, err = parseHealth(rest)
	case "ENTRYPOINT":
		err = json.Unmarshal([]byte(rest), &c.Entrypoint)
	case "CMD":
		err = json.Unmarshal([]byte(rest), &c.Cmd)
	default:
		err = errors.New("the release does not know this instruction")
	}
	return err
}

// set has words, with a suffix for those without a slash.
func set(words, suffix string) map[string]struct{} {
	all := map[string]struct{}{}
	for word := range strings.FieldsSeq(words) {
		if !strings.Contains(word, "/") {
			word += suffix
		}
		all[word] = struct{}{}
	}
	return all
}

// assignments reads name=value and name="value with spaces".
func assignments(text string) (all [][2]string, err error) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return nil, errors.New("not name=value")
		}
		var value, after string
		if strings.HasPrefix(rest, `"`) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, err
			}
			after = rest[len(quoted):]
			if value, err = strconv.Unquote(quoted); err != nil {
				return nil, err
			}
		} else {
			value, after, _ = strings.Cut(rest, " ")
		}
		all = append(all, [2]string{name, value})
		text = after
	}
	return all, nil
}

// parseCopy reads the arguments of COPY.
func parseCopy(text string) (l copyLine, err error) {
	var paths []string
	for word := range strings.FieldsSeq(text) {
		option, value, _ := strings.Cut(word, "=")
		switch {
		case option == "--from":
			l.stage = value
		case option == "--chown":
			user, group, _ := strings.Cut(value, ":")
			if l.uid, err = strconv.Atoi(user); err == nil {
				l.gid, err = strconv.Atoi(group)
			}
			if err != nil {
				return l, fmt.Errorf("--chown takes numbers, user:group: %w", err)
			}
		case strings.HasPrefix(word, "--"):
			return l, fmt.Errorf("the release does not know %s", option)
		default:
			paths = append(paths, word)
		}
	}
	if len(paths) != 2 {
		return l, errors.New("the release copies one file or directory a line")
	}
	l.from, l.to = paths[0], paths[1]
	return l, nil
}

// parseHealth reads the arguments of HEALTHCHECK.
func parseHealth(text string) (*v1.HealthConfig, error) {
	options, command, ok := strings.Cut(text, "CMD ")
	if !ok {
		return nil, errors.New("no CMD")
	}
	var h v1.HealthConfig
	for option := range strings.FieldsSeq(options) {
		name, value, _ := strings.Cut(option, "=")
		to := map[string]*time.Duration{"--interval": &h.Interval, "--timeout": &h.Timeout, "--start-period": &h.StartPeriod}[name]
		if to == nil {
			return nil, fmt.Errorf("the release does not know %s", name)
		}
		var err error
		if *to, err = time.ParseDuration(value); err != nil {
			return nil, err
		}
	}
	err := json.Unmarshal([]byte(command), &h.Test)
	h.Test = append([]string{"CMD"}, h.Test...)
	return &h, err
}
