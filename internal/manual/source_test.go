package manual

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the checkout, seen from this package's directory.
const root = "../.."

// forTests are packages that no box contains.
var forTests = []string{"aptest", "boxtest", "disktest", "storetest", "floors", "manual"}

// source is one parsed file of the box; no test is.
type source struct {
	name string // from the root
	pkg  string // its directory from the root
	ast  *ast.File
	tree *tree
}

// tree is the box's source.
type tree struct {
	files  []source
	consts map[string]map[string]ast.Expr // by package and name: constants, and variables of errors
	funcs  map[string]map[string][]*ast.FuncDecl
	in     map[*ast.FuncDecl]source
}

// The tests parse the source instead of asking `go list`: a cached result would hide a new
// message.
func parseTree(t *testing.T) *tree {
	t.Helper()
	all := &tree{consts: make(map[string]map[string]ast.Expr), funcs: make(map[string]map[string][]*ast.FuncDecl), in: make(map[*ast.FuncDecl]source)}
	for _, top := range []string{"appliance", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			if !slices.Contains(forTests, path.Base(path.Dir(rel))) {
				all.add(source{rel, path.Dir(rel), parsed, all})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all.files) < 200 {
		t.Fatalf("found only %d files; the test looks in the wrong place", len(all.files))
	}
	return all
}

func (t *tree) add(s source) {
	t.files = append(t.files, s)
	if t.consts[s.pkg] == nil {
		t.consts[s.pkg], t.funcs[s.pkg] = make(map[string]ast.Expr), make(map[string][]*ast.FuncDecl)
	}
	for _, d := range s.ast.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for i, name := range v.Names {
					if i < len(v.Values) && (d.Tok == token.CONST || strings.HasPrefix(strings.ToLower(name.Name), "err")) {
						t.consts[s.pkg][name.Name] = v.Values[i]
					}
				}
			}
		case *ast.FuncDecl:
			t.funcs[s.pkg][d.Name.Name] = append(t.funcs[s.pkg][d.Name.Name], d)
			t.in[d] = s
		}
	}
}

// imported returns the box's package that the file knows by a name, "" if it is none.
func (s source) imported(name string) string {
	for _, spec := range s.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		p, ours := strings.CutPrefix(p, "millpond/")
		if ours && (spec.Name == nil && path.Base(p) == name || spec.Name != nil && spec.Name.Name == name) {
			return p
		}
	}
	return ""
}

// hole stands in a text for what is filled in.
const hole = "…"

// text returns the constant text of an expression, with holes. depth ends constants that
// are made of one another.
func (s source) text(e ast.Expr, depth int) string {
	if depth == 0 {
		return hole
	}
	switch e := e.(type) {
	case *ast.BasicLit:
		if v, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return v
		}
	case *ast.ParenExpr:
		return s.text(e.X, depth)
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return s.text(e.X, depth) + s.text(e.Y, depth)
		}
	case *ast.Ident:
		if v := s.tree.consts[s.pkg][e.Name]; v != nil {
			return s.text(v, depth-1)
		}
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			if v := s.tree.consts[s.imported(x.Name)][e.Sel.Name]; v != nil {
				return s.text(v, depth-1)
			}
		}
	case *ast.CallExpr:
		if name := called(e); len(e.Args) > 0 && slices.Contains([]string{"fmt.Sprintf", "fmt.Errorf", "errors.New"}, name) {
			return s.filled(e, depth)
		}
	}
	return hole
}

// filled is the text of a call whose first argument is a format. What fills it in counts
// if it is constant.
func (s source) filled(call *ast.CallExpr, depth int) string {
	format := s.text(call.Args[0], depth)
	args := call.Args[1:]
	if len(args) == 0 && called(call) == "errors.New" {
		return format
	}
	return verb.ReplaceAllStringFunc(format, func(v string) string {
		if v == "%%" {
			return "%"
		}
		if len(args) == 0 || strings.Contains(format, "%[") {
			return hole
		}
		arg := args[0]
		args = args[1:]
		if v == "%s" {
			return s.text(arg, depth-1)
		}
		return hole
	})
}

var (
	verb  = regexp.MustCompile(`%(%|[-+# 0]*(\[\d+\])?[0-9]*(\.[0-9]+)?[a-zA-WYZ])`)
	holes = regexp.MustCompile(`…(\s*…)+`)
)

// called is the name of a called function with its package, as in fmt.Errorf.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return "." + f.Sel.Name
	}
	return ""
}
