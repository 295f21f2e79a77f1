package manual

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// messages are the texts by which a box tells a person of trouble, each with where it comes
// from. What is filled in is a hole.
type messages map[string]string

// told are the fields that hold the text of an answer to a client, or of /readyz.
var told = map[string]string{"internal/proxy": "cause", "internal/mirror": "Reason", "appliance": "Why"}

// answers are the functions that send a client a text, and the argument that it is.
var answers = map[string]int{"problem": 1, "deny": 3, "d.refuse": 4, "s.refuse": 2, "http.Error": 1, "wrong": 0, "add": 0}

// faultFiles have functions add that make the texts of /readyz.
var faultFiles = []string{"appliance/ready.go", "internal/dashboard/failures.go"}

// followed are methods that make errors of settings in another file than their callers'.
var followed = map[string]string{"Restrict": "internal/mirror", "Except": "internal/mirror"}

// sentinels are errors that end up in an answer as they are.
var sentinels = map[string][]string{
	"internal/proxy":  {"errTunnelHTTP"},
	"internal/fetch":  {"ErrWrongBytes", "ErrNoSource", "ErrNotHeld"},
	"internal/mirror": {"ErrOffline", "ErrStalled"},
	"internal/rings":  {"ErrNoRing", "ErrNoLane", "ErrNoFormer", "ErrSetting", "ErrFollowed", "ErrFuture", "ErrNoMoment"},
}

// causes are functions whose errors, or texts, end up in what /readyz says.
var causes = map[string]string{"internal/front": "Err", "internal/rings": "Full"}

// Each text has an entry: an item of a list on one of the pages of docs/troubleshooting,
// that consists of it. Nor is there an entry for a text that no box says.
func TestEachMessageHasAnEntry(t *testing.T) {
	m := collect(t)
	entries := entries(t)
	for _, text := range slices.Sorted(maps.Keys(m)) {
		if entries[text] == "" {
			t.Errorf("%s: no page of docs/troubleshooting has an entry for\n- `%s`", m[text], text)
		}
	}
	for text, page := range entries {
		if m[text] == "" {
			t.Errorf("%s has an entry for %q, which no box says", page, text)
		}
	}
}

// Of each kind of text, one that is there is found, and nothing else is taken for one.
func TestCollect(t *testing.T) {
	m := collect(t)
	for _, text := range []string{
		"Refused by millpond: client … is not in MILLPOND_ALLOW_CLIENTS", // a cause
		"millpond: the box is shutting down",
		"port … is neither 80 nor 443",                                  // a refusal of mirror
		"there is no ring …",                                            // a view
		"Admin actions are off; MILLPOND_ADMIN_TOKEN would allow them.", // the API
		"does not answer; what is held of it is served",                 // readyz
		"wrong token",     // an event by level
		"ring promoted",   // an event by an attribute
		"request refused", // an event of a level that is known when it happens
		"…: no such setting; `millpond help` lists them all", // settings
		"ring …: it comes after itself",                      // settings, in another package
		"no box answers (…): …",                              // a command
	} {
		if m[text] == "" {
			t.Errorf("%q was not found", text)
		}
	}
	for _, text := range []string{"following suites", "started", "Requests of clients that the boxes answered."} {
		if m[text] != "" {
			t.Errorf("%q, of %s, is no message about trouble", text, m[text])
		}
	}
}

// entry is an item of a list that is one code span.
var entry = regexp.MustCompile("(?m)^- (?:`([^`]+)`|`` (.+) ``)$")

// entries returns the texts that the pages have entries for, with their page.
func entries(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for name, text := range pages(t) {
		if !strings.HasPrefix(name, "troubleshooting/") {
			continue
		}
		for _, m := range entry.FindAllStringSubmatch(text, -1) {
			message := m[1] + m[2]
			if all[message] != "" {
				t.Errorf("%s and %s both have an entry for %q", all[message], name, message)
			}
			all[message] = name
		}
	}
	return all
}

func collect(t *testing.T) messages {
	t.Helper()
	tree := parseTree(t)
	m := make(messages)
	for _, s := range tree.files {
		m.ofEvents(s)
		m.ofAnswers(s)
		if s.pkg == "appliance" {
			m.ofErrors(s, s.ast)
		}
	}
	for pkg, names := range sentinels {
		for _, name := range names {
			if tree.consts[pkg][name] == nil {
				t.Errorf("%s has no %s", pkg, name)
			}
		}
		for _, s := range tree.files {
			if s.pkg == pkg {
				for _, name := range names {
					m.add(s, "answers", s.text(&ast.Ident{Name: name}, 5))
				}
				break
			}
		}
	}
	for pkg, name := range causes {
		for _, f := range tree.funcs[pkg][name] {
			m.ofErrors(tree.in[f], f)
			m.ofTexts(tree.in[f], f)
		}
	}
	m.ofSettings(tree)
	return m
}

// add notes a text, unless it is nothing but holes.
func (m messages) add(s source, kind, text string) {
	text, _, _ = strings.Cut(text, "\n")
	text = strings.TrimSpace(holes.ReplaceAllString(text, hole))
	if words.MatchString(text) {
		m[text] = kind + " " + s.name
	}
}

// words are what a text needs to say something.
var words = regexp.MustCompile(`[A-Za-z]{2,}\W+[A-Za-z]`)

// levels are the methods of a log whose lines are events, whatever attributes they have.
var levels = []string{"Warn", "Error", "WarnContext", "ErrorContext"}

// ofEvents adds the headlines of events: the messages of warnings and errors, and of lines
// that have an attribute by which the page shows them.
func (m messages) ofEvents(s source) {
	ast.Inspect(s.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := called(call)
		name = name[strings.LastIndex(name, ".")+1:]
		args := call.Args
		switch {
		case strings.HasSuffix(name, "Context") || name == "Log" || name == "LogAttrs":
			if len(args) < 2 {
				return true
			}
			args = args[1:]
			if name == "Log" || name == "LogAttrs" {
				args = args[1:]
			}
		}
		if len(args) == 0 {
			return true
		}
		isLog := len(args)%2 == 1 || call.Ellipsis.IsValid()
		switch {
		case called(call) == "http.Error" || !isLog && name != "LogAttrs":
		case slices.Contains(levels, name), name == "Log", name == "Info" && s.hasKey(args):
			m.add(s, "events", s.text(args[0], 5))
		}
		return true
	})
}

// hasKey reports whether a line of the log has an attribute that makes it an event.
func (s source) hasKey(args []ast.Expr) bool {
	return slices.ContainsFunc(args, func(e ast.Expr) bool {
		return slices.Contains([]string{"setting", "ring", "action"}, s.text(e, 5))
	})
}

// ofAnswers adds what clients, and readers of /readyz, are told.
func (m messages) ofAnswers(s source) {
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == told[s.pkg] {
				m.add(s, "answers", s.text(n.Value, 5))
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if x, ok := left.(*ast.SelectorExpr); ok && s.pkg == "internal/proxy" && x.Sel.Name == "cause" && n.Tok == token.ASSIGN {
					m.add(s, "answers", s.text(n.Rhs[i], 5))
				}
			}
		case *ast.CompositeLit:
			if name, ok := n.Type.(*ast.Ident); ok && slices.Contains([]string{"viewError", "requestError"}, name.Name) {
				m.add(s, "answers", s.text(n.Elts[min(1, len(n.Elts)-1)], 5))
			}
		case *ast.CallExpr:
			i, ok := answers[called(n)]
			if ok && (s.pkg == "internal/dashboard" || s.pkg == "appliance") && called(n) != "add" || called(n) == "add" && slices.Contains(faultFiles, s.name) {
				if called(n) == "add" && s.pkg == "internal/dashboard" {
					i = 3
				}
				text := s.text(n.Args[i], 5)
				if called(n) == "add" || called(n) == "wrong" {
					text = verb.ReplaceAllString(text, hole) // a format
				}
				m.add(s, "answers", text)
			}
		case *ast.FuncDecl:
			if n.Name.Name == "Error" && n.Recv != nil && (s.pkg == "internal/proxy" || s.pkg == "internal/mirror") {
				ast.Inspect(n, func(r ast.Node) bool {
					if ret, ok := r.(*ast.ReturnStmt); ok {
						m.add(s, "answers", s.text(ret.Results[0], 5))
					}
					return true
				})
			}
		}
		return true
	})
}

// ofErrors adds the texts of errors that are made below a node.
func (m messages) ofErrors(s source, below ast.Node) {
	ast.Inspect(below, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && slices.Contains([]string{"errors.New", "fmt.Errorf", "wrongUsage"}, called(call)) {
			m.add(s, "errors", s.filled(call, 5))
		}
		return true
	})
}

// ofTexts adds the texts that are made below a node.
func (m messages) ofTexts(s source, below ast.Node) {
	ast.Inspect(below, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && called(call) == "fmt.Sprintf" {
			m.add(s, "answers", s.text(call, 5))
		}
		return true
	})
}

// ofSettings adds the errors of all that parseConfig refers to, directly or not.
func (m messages) ofSettings(t *tree) {
	seen := make(map[*ast.FuncDecl]bool)
	next := t.funcs["appliance"]["parseConfig"]
	for len(next) > 0 {
		f := next[0]
		next = next[1:]
		if seen[f] || f.Body == nil {
			continue
		}
		seen[f] = true
		s := t.in[f]
		m.ofErrors(s, f)
		next = append(next, s.refers(f)...)
	}
}

// refers lists the functions that f may call: those that it names. Of methods only the name
// is known; those in the same file count.
func (s source) refers(f *ast.FuncDecl) (all []*ast.FuncDecl) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && s.imported(x.Name) != "" {
				all = append(all, functions(s.tree.funcs[s.imported(x.Name)][n.Sel.Name])...)
				return false
			}
			for _, m := range methods(s.tree.funcs[s.pkg][n.Sel.Name]) {
				if s.tree.in[m].name == s.name {
					all = append(all, m)
				}
			}
			if pkg, ok := followed[n.Sel.Name]; ok {
				all = append(all, methods(s.tree.funcs[pkg][n.Sel.Name])...)
			}
		case *ast.Ident:
			all = append(all, functions(s.tree.funcs[s.pkg][n.Name])...)
		}
		return true
	})
	return all
}

func methods(all []*ast.FuncDecl) []*ast.FuncDecl {
	return slices.DeleteFunc(slices.Clone(all), func(f *ast.FuncDecl) bool { return f.Recv == nil })
}

func functions(all []*ast.FuncDecl) []*ast.FuncDecl {
	return slices.DeleteFunc(slices.Clone(all), func(f *ast.FuncDecl) bool { return f.Recv != nil })
}
