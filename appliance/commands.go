package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"millpond/internal/swarm"
)

// command is what millpond does, by the word behind its name.
type command struct {
	name, args string
	short      string // what it does, in a line
	long       string // more, for `millpond help NAME`
	asks       bool   // a box, over its API: --box and --json are understood
	needs      int    // arguments at least
	most       int    // arguments at most
	option     string // that takes a value, as in --as URL; "" for none
	// bare runs without settings; run with them. One of the two is nil.
	bare func(i invocation) error
	run  func(ctx context.Context, c Config, i invocation) error
}

// invocation is how a command was called.
type invocation struct {
	args           []string
	json           bool     // prints what the API answers
	box            *url.URL // nil: the box on this machine
	options        map[string]string
	help           bool
	stdout, stderr io.Writer
}

const (
	needsToken = "It needs the box's admin token in MILLPOND_ADMIN_TOKEN, or in a file that MILLPOND_ADMIN_TOKEN_FILE names."
	carriedBy  = "The running box reads and writes DIR, which has to be a directory of its machine or container; with none\n" +
		"running the command does so, and works in the data directory. Stopped by Ctrl-C, the same command goes\n" +
		"on where it was. " + needsToken
	onePackage = "WHAT is a package, the name of a file, or its SHA-256."
)

// maxDirs is how many directories one import takes: more than there are images of a release.
const maxDirs = 256

// commands lists all of them in the order of the help.
func commands() []command {
	return []command{
		{name: "serve", short: "serve; also without a command", run: func(ctx context.Context, c Config, i invocation) error {
			return serve(ctx, c, i.stdout, i.stderr)
		}},
		{name: "status", short: "how well the box is, what it saved and holds", asks: true, run: statusCommand,
			long: "Exit code 3 says that the box serves, but that something is wrong: it is degraded, as the lines\nbelow \"Wrong\" tell. If it cannot serve, the exit code is 1."},
		{name: "clients", short: "what the clients of the box requested and got", asks: true, run: clientsCommand,
			long: "Those that got most come first. MILLPOND_PRIVACY decides what there is of clients."},
		{name: "purge", args: "HOST|PATH", short: "remove what is held of an archive's host, or of a part of it", asks: true, needs: 1, most: 1, run: purgeCommand,
			long: "HOST is as in archive.example.org, with its port if it has another than 80 and 443; PATH a file or\n" +
				"directory as in archive.example.org/debian/pool/main/h/hello. Files stay that are elsewhere too,\n" +
				"pinned (Release files are) or being read. What clients ask for again comes from the mirror.\n" + needsToken},
		{name: "verify", args: "[HOST|PATH]", short: "hash all held files again, or those of a host or a part of it", asks: true, most: 1, run: verifyCommand,
			long: "Damaged files are removed, and fetched again if a signed Release lists them; what fails is tried once an\n" +
				"hour for a week. Stopped by Ctrl-C, it goes on where it was the next time; a box that restarts goes on by\n" +
				"itself. With no box running it works in the data directory, and the box fetches when it runs.\n" +
				"Exit code 1 says that files are missing now. " + needsToken},
		{name: "pin", args: "WHAT", short: "exempt files from eviction", asks: true, needs: 1, most: 1, run: pinCommand,
			long: onePackage + " Files can be pinned up to 7/8 of the\ncache, what is kept by setting counted in. " + needsToken},
		{name: "unpin", args: "WHAT", short: "undo a pin", asks: true, needs: 1, most: 1, run: unpinCommand,
			long: onePackage + "\n" + needsToken},
		{name: "prefetch", args: "[SUITE]", short: "fetch newer versions of what clients use, before they ask", asks: true, most: 1, run: prefetchCommand,
			long: "SUITE is the URL of a suite's directory, such as http://archive.example.org/debian/dists/stable; without\none it is all that clients use. The command does not wait for the end; `millpond status` and the page\ntell. " + needsToken},
		{name: "peers", short: "list the boxes that the box is connected to", asks: true, run: func(ctx context.Context, c Config, i invocation) error {
			return printPeers(ctx, c, i)
		}},
		{name: "healthcheck", short: "ask the box on this machine whether it is ready; exit 1 if not", run: func(ctx context.Context, c Config, _ invocation) error {
			return healthcheck(ctx, c)
		}},
		{name: "check-config", short: "read the settings and say what the box would do; exit 2 and name all faults if they are invalid",
			long: "The files that settings name are read. No port is opened, nobody is contacted and nothing is changed.\n" +
				"What does not work together is told as a note.",
			run: func(_ context.Context, c Config, i invocation) error { return checkConfig(c, i.stdout) }},
		{name: "drain", args: "[QUIET [LIMIT]]", short: "take the box on this machine out before it is stopped", most: 2,
			long: "The box is not ready any more, tells other boxes, and still serves. The command ends when no downloads\nhave been under way for QUIET (2s), and fails after LIMIT. A restart of the box undoes it.\n" + needsToken,
			run: func(ctx context.Context, c Config, i invocation) error {
				times, err := parseDrainTimes(i.args)
				if err != nil {
					return err
				}
				return drainCommand(ctx, c, times, i.stdout)
			}},
		{name: "erase-client", args: "ADDRESS", short: "erase what is kept about a client", needs: 1, most: 1,
			long: "In the data directory, or while a box runs on that, through its API. " + needsToken,
			run: func(ctx context.Context, c Config, i invocation) error {
				return eraseCommand(ctx, c, i.args[0], i.stdout, i.stderr)
			}},
		{name: "backup", args: "FILE|-", short: "save identity, settings and figures of the box, neither files nor secrets, to FILE or standard output", asks: true, needs: 1, most: 1, run: backupCommand,
			long: "Of the running box, or with none running of the data directory. FILE is replaced as a whole. It has the\n" +
				"box's identity key, and what is known of clients: others must not read it. " + needsToken},
		{name: "restore", args: "FILE", short: "make a data directory from a backup", needs: 1, most: 1,
			long: "MILLPOND_DATA_DIR is to be empty, or to have blobs only. The box that starts on it has the identity of the\n" +
				"one that was backed up, which must not run any more.",
			run: func(_ context.Context, c Config, i invocation) error { return restoreCommand(c, i) }},
		{name: "import", args: "[--as URL] DIR…", short: "take in files that other programs have: mirrors, caches, images", asks: true, needs: 1, most: maxDirs, option: "as", run: importCommand,
			long: "DIR is a tree of debmirror or apt-mirror, /var/cache/apt/archives, a cache of apt-cacher-ng or approx,\n" +
				"a mounted image, or what `millpond export` or `millpond fill` wrote. Files are linked where that is\n" +
				"possible. With URL, such as http://archive.example.org/debian, DIR is a copy of that archive; otherwise\n" +
				"names of directories in DIR that are those of hosts tell. Signatures and digests decide what counts.\n" + carriedBy},
		{name: "export", args: "DIR [SUITE…]", short: "write what is held into a directory that apt can use over file:", asks: true, needs: 1, most: maxDirs, run: exportCommand,
			long: "SUITE is a suite's name, or the URL of its directory; without one it is all. Files are linked where\n" +
				"that is possible; those that DIR has stay.\n" + carriedBy},
		{name: "want", args: "[FILE]", short: "write what a box without a network wants from outside", asks: true, most: 1, run: wantCommand,
			long: "FILE is for `millpond fill` at a box that has a network; without it, it is standard output. It names the\n" +
				"suites that the box follows or clients use, and the files of these that clients use and the box does\n" +
				"not hold. With no box running it works in the data directory. " + needsToken},
		{name: "fill", args: "DIR FILE", short: "fetch what another box wants into a directory that it imports", asks: true, needs: 2, most: 2, run: fillCommand,
			long: "FILE is what `millpond want` wrote there. Releases and indices come as the mirrors have them now. DIR may\n" +
				"be a stick; files that it has stay.\n" + carriedBy},
		{name: "swarm-key", short: "make a key for a private swarm (MILLPOND_SWARM_KEY)", bare: func(i invocation) error {
			_, err := i.stdout.Write(swarm.NewKey())
			return err
		}},
		{name: "help", args: "[COMMAND]", short: "this text, or more about a command", most: 1, bare: helpCommand},
		{name: "version", short: "the version", bare: func(i invocation) error {
			_, err := fmt.Fprintln(i.stdout, "millpond", version)
			return err
		}},
	}
}

// aliases are other spellings of commands, which many programs have.
var aliases = map[string]string{"-h": "help", "-help": "help", "--help": "help", "-version": "version", "--version": "version"}

// commandNamed returns the command of a name.
func commandNamed(name string) (command, bool) {
	if other, ok := aliases[name]; ok {
		name = other
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func wrongUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// parse reads what follows the name of a command.
func (cmd command) parse(args []string, stdout, stderr io.Writer) (i invocation, err error) {
	i.stdout, i.stderr = stdout, stderr
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if taken, rest, err := cmd.takeOption(&i, arg, args); taken || err != nil {
			if err != nil {
				return i, err
			}
			args = rest
			continue
		}
		switch value, isBox := strings.CutPrefix(arg, "--box="); {
		case arg == "-h", arg == "--help":
			i.help = true
		case cmd.asks && arg == "--json":
			i.json = true
		case cmd.asks && (isBox || arg == "--box"):
			if !isBox {
				if len(args) == 0 {
					return i, wrongUsage("--box takes the URL of a box, such as http://box.lan:3142")
				}
				value, args = args[0], args[1:]
			}
			if i.box, err = parseBox(value); err != nil {
				return i, err
			}
		case strings.HasPrefix(arg, "-") && len(arg) > 1 && cmd.most > 0 && cmd.name != "drain", cmd.asks && strings.HasPrefix(arg, "-") && arg != "-":
			return i, wrongUsage("%q: no such option of %s; see `millpond help %s`", arg, cmd.name, cmd.name)
		default:
			i.args = append(i.args, arg)
		}
	}
	if i.help {
		return i, nil
	}
	return i, cmd.checkArgs(i.args)
}

// takeOption reads the option that the command has, with the arguments behind it.
func (cmd command) takeOption(i *invocation, arg string, behind []string) (taken bool, rest []string, err error) {
	value, with := strings.CutPrefix(arg, "--"+cmd.option+"=")
	if cmd.option == "" || !with && arg != "--"+cmd.option {
		return false, behind, nil
	}
	if !with {
		if len(behind) == 0 {
			return false, nil, wrongUsage("--%s takes a value; see `millpond help %s`", cmd.option, cmd.name)
		}
		value, behind = behind[0], behind[1:]
	}
	i.options = map[string]string{cmd.option: value}
	return true, behind, nil
}

// checkArgs reports what is wrong with the arguments.
func (cmd command) checkArgs(args []string) error {
	switch {
	case cmd.name == "drain":
		_, err := parseDrainTimes(args)
		if err != nil {
			return usageError{err}
		}
	case cmd.name == "erase-client" && len(args) != 1:
		return wrongUsage("erase-client takes the address of one client, such as 10.1.2.3 or fd00::1")
	case cmd.most == 0 && len(args) > 0:
		return wrongUsage("%q: %s takes no arguments; settings come from the environment, see `millpond help`", args, cmd.name)
	case len(args) < cmd.needs, len(args) > cmd.most, slices.Contains(args, ""):
		return wrongUsage("%s takes %s, not %q; see `millpond help %s`", cmd.name, cmd.args, args, cmd.name)
	}
	return nil
}

// parseBox reads the URL of a box, with the path below which a proxy before it has it.
func parseBox(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, wrongUsage("--box takes the URL of a box, such as http://box.lan:3142; the token is in MILLPOND_ADMIN_TOKEN")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// exitOf is the exit code for what a command returned, which is told unless it was.
func exitOf(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDegraded):
		return exitDegraded
	}
	fmt.Fprintf(stderr, "millpond: %v\n", err)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFault
}
