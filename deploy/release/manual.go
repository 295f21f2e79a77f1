package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

var (
	// helpCommand and helpSetting match lines of `millpond help`.
	helpCommand = regexp.MustCompile(`^  millpond (\S+)((?: \S+)*)  +(.*)$`)
	helpSetting = regexp.MustCompile(`^  (MILLPOND_\S+) +(\S+) +(.*)$`)
	helpTakes   = regexp.MustCompile(`^ +takes (.*)$`)
	helpFile    = regexp.MustCompile(`^ +or, from a file, (\S+)$`)
)

// writeManual makes the man page from what the program says about itself.
func (r *release) writeManual() error {
	program, err := r.runnable()
	if err != nil {
		return err
	}
	help, err := output(r.root, program, "help")
	if err != nil {
		return err
	}
	r.manual, err = manual(help, r.version, func(command string) (string, error) {
		return output(r.root, program, "help", command)
	})
	return err
}

// manual is the man page; more returns the help of a command.
func manual(help string, v version, more func(command string) (string, error)) ([]byte, error) {
	about, rest, found := strings.Cut(help, "\n")
	commands, settings, found2 := strings.Cut(rest, "\nSettings")
	if !found || !found2 {
		return nil, fmt.Errorf("the output of `millpond help` has no settings: %.200q", help)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH MILLPOND 1 %s %s\n", quote(v.time.Format("2006-01-02")), quote("millpond "+v.number))
	// Names of settings are not to be broken.
	b.WriteString(".nh\n.ad l\n.SH NAME\nmillpond \\- apt proxy for a site that shares what it holds with other boxes\n")
	b.WriteString(".SH SYNOPSIS\n.B millpond\n[\n.I command\n[\n.I argument\n\\&... ] ]\n")
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n.SH COMMANDS\n", roff(about))
	for line := range strings.Lines(commands) {
		m := helpCommand.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR%s\n%s.\n", roff(m[1]), roff(m[2]), roff(m[3]))
		text, err := more(m[1])
		if err != nil {
			return nil, err
		}
		b.WriteString(details(text))
	}
	b.WriteString(".SH ENVIRONMENT\n")
	for line := range strings.Lines(settings) {
		line = strings.TrimSuffix(line, "\n")
		if m := helpSetting.FindStringSubmatch(line); m != nil {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR", roff(m[1]))
			if m[2] != "-" {
				fmt.Fprintf(&b, " (by default %s)", roff(m[2]))
			}
			fmt.Fprintf(&b, "\n%s.\n", roff(m[3]))
		} else if m := helpTakes.FindStringSubmatch(line); m != nil {
			fmt.Fprintf(&b, "It takes %s.\n", roff(m[1]))
		} else if m := helpFile.FindStringSubmatch(line); m != nil {
			fmt.Fprintf(&b, "It can come from a file, which \\fB%s\\fR names.\n", roff(m[1]))
		}
	}
	b.WriteString(manualEnd)
	return b.Bytes(), nil
}

// manualEnd is about what the Debian package adds to the program.
const manualEnd = `.SH EXIT STATUS
0 done; 1 it could not be done, or was refused; 2 wrong command line or settings;
3 of \fBstatus\fR: the box serves, but something is wrong.
.SH FILES
.TP
.I /etc/default/millpond
settings of the service, as NAME=VALUE; \fBsystemctl restart millpond\fR has them read
.TP
.I /var/lib/millpond
what the service holds, its figures and its identity
.TP
.I /var/log/millpond
where the service may write an access log
.SH SEE ALSO
.BR apt.conf (5),
.BR sources.list (5),
.BR systemctl (1)
`

// details is what the help of a command says beyond its first line of the list.
func details(help string) string {
	// Usage, an empty line, what it does in a sentence, more, an empty line, options and
	// exit codes.
	parts := strings.SplitN(help, "\n\n", 3)
	if len(parts) < 3 {
		return ""
	}
	_, more, _ := strings.Cut(parts[1], "\n")
	if more == "" {
		return ""
	}
	return roff(more) + "\n"
}

// roff is text with what means something to roff escaped.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, ".") {
			line = `\&` + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// quote is text as an argument of a macro.
func quote(text string) string { return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"` }
