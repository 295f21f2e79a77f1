// Package web holds the dashboard's page as Vite built it from the TypeScript
// beside it. dist is committed, so that building the box needs no Node; `npm
// ci && npm run build` makes it again, byte for byte. Nothing in it is loaded
// from elsewhere.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files are the built files: index.html, and under assets those whose names
// contain a hash of their content.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // only for a name that is not valid
	}
	return files
}
