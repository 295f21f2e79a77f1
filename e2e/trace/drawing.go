package main

import (
	"bytes"
	"fmt"
)

const svgWidth, svgHeight, svgMargin = 720, 400, 60

// drawn draws what was prefetched against the shares of bytes that needed no mirror. The
// last point, of all that changed, is beyond the scale.
func drawn(curve []point) []byte {
	last := len(curve) - 1
	most := max(1, weekly(curve[last-1].prefetched))
	x := func(i int) float64 {
		if i == last {
			return svgWidth - svgMargin
		}
		return svgMargin + weekly(curve[i].prefetched)/most*(svgWidth-2*svgMargin)*0.8
	}
	y := func(share float64) float64 { return svgHeight - svgMargin - share*(svgHeight-2*svgMargin) }
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", svgWidth, svgHeight)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="#fff"/>`)
	for i := range 6 {
		v := float64(i) / 5
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n", svgMargin, y(v), svgWidth-svgMargin, svgMargin-6, y(v)+4, 100*v)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", svgMargin+v*(svgWidth-2*svgMargin)*0.8, svgHeight-svgMargin+18, v*most)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">all: %.0f</text>`+"\n", svgWidth-svgMargin, svgHeight-svgMargin+18, weekly(curve[last].prefetched))
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">MB prefetched a week</text>`+"\n", svgWidth/2, svgHeight-svgMargin+38)
	for i, line := range []struct {
		colour, name string
		share        func(figures) float64
	}{
		{"#1f6feb", "bytes of the first client after a wave that needed no mirror", func(f figures) float64 { return ratio(f.firstFree, f.first) }},
		{"#bf5b00", "bytes of all clients’ updates that needed no mirror", func(f figures) float64 { return ratio(f.wavesFree, f.waves) }},
	} {
		path := ""
		for k, p := range curve {
			share := y(line.share(p.figures))
			path += fmt.Sprintf("%.1f,%.1f ", x(k), share)
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s</title></circle>`+"\n", x(k), share, line.colour, p.name)
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path, line.colour)
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", svgMargin, 20+16*i, line.colour, line.name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
