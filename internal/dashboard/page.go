package dashboard

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"millpond/web"
)

// pagePolicy lets the page have the box's own files and requests, and nothing
// else: no inline script or style, no other host, no frame around it.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is a file of the page.
type asset struct {
	kind    string // media type
	plain   []byte
	gzipped []byte // nil if that is no shorter
	lasting bool   // its name has a hash of its content in it
}

// loadAssets reads the page's files, by their path in a URL. They are
// some 100 kB, compressed once, here.
func loadAssets(files fs.FS) (map[string]asset, error) {
	all := make(map[string]asset)
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		a := asset{kind: mime.TypeByExtension(path.Ext(name)), lasting: strings.HasPrefix(name, "assets/")}
		if a.plain, err = fs.ReadFile(files, name); err != nil {
			return err
		}
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := z.Write(a.plain); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		if b.Len() < len(a.plain) {
			a.gzipped = b.Bytes()
		}
		all["/"+name] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loading the page: %w", err)
	}
	all["/"] = all["/index.html"]
	return all, nil
}

// mustLoadAssets panics if they cannot be read: they are part of the program.
func mustLoadAssets() map[string]asset {
	all, err := loadAssets(web.Files())
	if err != nil {
		panic(err)
	}
	return all
}

// file serves one of the page's files.
func (d *Dashboard) file(w http.ResponseWriter, r *http.Request) {
	a, ok := d.assets[r.URL.Path]
	if !ok {
		notFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if a.lasting {
		h.Set("Cache-Control", "max-age=31536000, immutable")
	}
	body := a.plain
	// auto-apt-proxy searches the file that apt-helper wrote, and apt-helper
	// accepts no encoding.
	if a.gzipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = a.gzipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body) // a client that disconnected is no error
}
