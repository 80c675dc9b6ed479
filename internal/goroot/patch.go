// Package goroot makes a GOROOT whose standard library draws its random bytes from
// github.com/clonerand/rand in the programs that have this package in them.
package goroot

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// Folder is the package that is patched, from GOROOT. What reads from the operating system
	// in package crypto does so through its Read.
	Folder = "src/crypto/internal/sysrand"

	Added = "clonerand.go" // the file that is added to it

	renamed = "readSystem" // what its Read is called then
)

// Marker is the package and the name of a function that only a program with a patched
// standard library has. The two are kept apart, so that a program that names them
// does not look patched.
var Marker = [2]string{"crypto/internal/sysrand", renamed}

//go:embed sysrand.txt
var addedText []byte

// A File is one file of a GOROOT as it is and as the patch makes it.
type File struct {
	Name     string // from GOROOT, with slashes
	Old, New []byte // Old is nil for a file that the patch adds
}

// Patch returns the files of a GOROOT that differ in a patched one. It refuses a
// GOROOT in which Read is not exactly one function of the known form.
func Patch(root string) ([]File, error) {
	folder := filepath.Join(root, filepath.FromSlash(Folder))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("%s is no GOROOT that can be patched: %w; use Go 1.26 or 1.27", root, err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		name := filepath.Join(folder, e.Name())
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if files[e.Name()], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	changed, err := patch(files)
	if err != nil {
		return nil, fmt.Errorf("%s is not as it is known: %w; use another release of Go, or a newer clonerand", folder, err)
	}
	for i := range changed {
		changed[i].Name = Folder + "/" + changed[i].Name
	}
	return changed, nil
}

// ErrPatched says that a GOROOT is patched already.
var ErrPatched = errors.New("it is patched already")

func patch(files map[string][]byte) ([]File, error) {
	if text, ok := files[Added]; ok {
		if bytes.Equal(text, addedText) {
			return nil, ErrPatched
		}
		return nil, fmt.Errorf("it has a file %s of another version", Added)
	}
	var found []string
	var change File
	for name, text := range files {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			for _, id := range declared(d) {
				at := set.Position(id.Pos())
				switch f, isFunc := d.(*ast.FuncDecl); {
				case id.Name == renamed || id.Name == "replaced" || id.Name == "system" || id.Name == "noescape":
					return nil, fmt.Errorf("%s declares %s, a name that the patch needs", at, id.Name)
				case id.Name != "Read":
				case !isFunc:
					found = append(found, fmt.Sprintf("%s: Read is no function", at))
				default:
					var form bytes.Buffer
					format.Node(&form, set, &ast.FuncDecl{Recv: f.Recv, Name: f.Name, Type: f.Type})
					found = append(found, fmt.Sprintf("%s: %s", at, &form))
					if form.String() == "func Read(b []byte)" && f.Body != nil {
						change = File{Name: name, Old: text, New: bytes.Join([][]byte{
							text[:at.Offset], []byte(renamed), text[at.Offset+len("Read"):]}, nil)}
					}
				}
			}
		}
	}
	if len(found) != 1 || change.Name == "" {
		return nil, fmt.Errorf("want exactly one func Read(b []byte), found %d: %s", len(found), strings.Join(found, "; "))
	}
	return []File{change, {Name: Added, New: addedText}}, nil
}

// declared is the names of package level, not of methods, that a declaration brings.
func declared(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				names = append(names, s.Names...)
			case *ast.TypeSpec:
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// patched reports whether the files of a tree are what the patch made of them.
func patched(tree string, files []File) bool {
	for _, f := range files {
		text, err := fs.ReadFile(os.DirFS(tree), f.Name)
		if err != nil || !bytes.Equal(text, f.New) {
			return false
		}
	}
	return true
}
