package compare

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// panel is one small plot of the picture: the rate of each subject over something, on
// logarithmic axes.
type panel struct {
	title, axis string
	points      []point
}

// point is where a work stands on a panel's axis.
type point struct {
	x    float64
	work string
}

// plot adds a panel.
func (r *results) plot(p panel) { r.panels = append(r.panels, p) }

// The picture in pixels: two panels in a row, each with room for its axes and, at the right,
// for the names of its lines.
const (
	panelWidth, panelHeight = 470.0, 300.0
	left, right             = 48.0, 108.0
	top, bottom             = 44.0, 46.0
	plotWidth               = panelWidth - left - right
	plotHeight              = panelHeight - top - bottom
	labelHeight             = 15.0
)

// style has the colours of a light page, and of a dark one. Lines differ in dashes too.
const style = `<style>
text{font:12px system-ui,sans-serif;fill:#57606a}
.title{font-size:14px;font-weight:600;fill:#1f2328}
.page{fill:#fff}.grid{stroke:#d8dee4;stroke-width:1}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.s0{stroke:#0969da;stroke-width:3.5}.s1{stroke:#1a7f37}.s2{stroke:#bc4c00}.s3{stroke:#8250df}.s4{stroke:#6e7781;stroke-dasharray:5 4}
circle{stroke:none}.d0{fill:#0969da}.d1{fill:#1a7f37}.d2{fill:#bc4c00}.d3{fill:#8250df}.d4{fill:#6e7781}
text.d0{fill:#0969da;font-weight:600}text.d1{fill:#1a7f37}text.d2{fill:#bc4c00}text.d3{fill:#8250df}text.d4{fill:#57606a}
@media (prefers-color-scheme:dark){
text{fill:#9198a1}.title{fill:#f0f6fc}.page{fill:#0d1117}.grid{stroke:#2d333b}
.s0{stroke:#58a6ff}.s1{stroke:#3fb950}.s2{stroke:#f0883e}.s3{stroke:#bc8cff}.s4{stroke:#9198a1}
.d0,text.d0{fill:#58a6ff}.d1,text.d1{fill:#3fb950}.d2,text.d2{fill:#f0883e}.d3,text.d3{fill:#bc8cff}.d4,text.d4{fill:#9198a1}
}
</style>
`

// styles are the subjects that the picture has, in the order of its styles.
var styles = []string{millpond, "nginx", "apt-cacher-ng", "squid", bare}

// bare is the subject that has nothing but net/http's file server.
const bare = "bare net/http"

// scale maps figures to pixels by their logarithms.
type scale struct{ from, to, begin, end float64 }

func (s scale) at(v float64) float64 {
	if s.from == s.to {
		return (s.begin + s.end) / 2
	}
	return s.begin + (s.end-s.begin)*math.Log(v/s.from)/math.Log(s.to/s.from)
}

// spot is a point of a line.
type spot struct{ x, rate float64 }

// spots are the points of a panel at which the subject has a rate.
func (r *results) spots(p panel, subject string) (all []spot) {
	for _, at := range p.points {
		if rate, ok := r.median(at.work, subject, "rate"); ok && rate > 0 {
			all = append(all, spot{at.x, rate})
		}
	}
	return all
}

// chart draws all panels as an SVG.
func (r *results) chart() string {
	rows := (len(r.panels) + 1) / 2
	width, height := 2*panelWidth, float64(rows)*panelHeight+8
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img">`+"\n", width, height, width, height)
	b.WriteString("<title>Requests per second, by connections and by files held</title>\n" + style)
	fmt.Fprintf(&b, `<rect class="page" width="%.0f" height="%.0f"/>`+"\n", width, height)
	for i, p := range r.panels {
		fmt.Fprintf(&b, `<g transform="translate(%.0f %.0f)">`+"\n", float64(i%2)*panelWidth, float64(i/2)*panelHeight)
		r.drawPanel(&b, p)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// rates is the scale of a panel's rates, to the next 1, 2 or 5 beyond them.
func (r *results) rates(p panel) scale {
	least, most := math.Inf(1), 0.0
	for _, subject := range styles {
		for _, s := range r.spots(p, subject) {
			least, most = min(least, s.rate), max(most, s.rate)
		}
	}
	if most == 0 {
		least, most = 1, 10
	}
	s := scale{begin: top + plotHeight, end: top}
	for _, step := range steps(least/10, most*10) {
		if step <= least {
			s.from = step
		}
		if s.to < most {
			s.to = step
		}
	}
	return s
}

// steps are 1, 2 and 5 times powers of ten.
func steps(from, to float64) (all []float64) {
	for power := math.Pow(10, math.Floor(math.Log10(from))); power <= to; power *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * power; v >= from*0.999 && v <= to*1.001 {
				all = append(all, v)
			}
		}
	}
	return all
}

func (r *results) drawPanel(b *strings.Builder, p panel) {
	rates := r.rates(p)
	fmt.Fprintf(b, `<text class="title" x="%.0f" y="22">%s</text><text x="%.0f" y="37">requests per second</text>`+"\n", left, html.EscapeString(p.title), left)
	fmt.Fprintf(b, `<line class="grid" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/>`+"\n", left, left+plotWidth, rates.begin, rates.begin)
	marks := steps(rates.from, rates.to)
	for _, v := range marks {
		if len(marks) > 9 && math.Log10(v) != math.Round(math.Log10(v)) { // too many lines
			continue
		}
		y := rates.at(v)
		fmt.Fprintf(b, `<line class="grid" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/>`, left, left+plotWidth, y, y)
		fmt.Fprintf(b, `<text x="%.0f" y="%.1f" text-anchor="end">%s</text>`+"\n", left-6, y+4, short(v))
	}
	xs := scale{p.points[0].x, p.points[len(p.points)-1].x, left + 8, left + plotWidth - 8}
	last := math.Inf(-1)
	for _, at := range p.points {
		x := xs.at(at.x)
		if x-last < 26 { // no room for both labels
			continue
		}
		last = x
		fmt.Fprintf(b, `<text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", x, top+plotHeight+17, short(at.x))
	}
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`+"\n", left+plotWidth/2, top+plotHeight+34, html.EscapeString(p.axis))

	var names []label
	for i := len(styles) - 1; i >= 0; i-- { // the box is drawn over the others
		all := r.spots(p, styles[i])
		if len(all) == 0 {
			continue
		}
		var line strings.Builder
		for _, s := range all {
			fmt.Fprintf(&line, "%.1f,%.1f ", xs.at(s.x), rates.at(s.rate))
		}
		fmt.Fprintf(b, `<polyline class="line s%d" points="%s"/>`, i, strings.TrimSpace(line.String()))
		for _, s := range all {
			fmt.Fprintf(b, `<circle class="d%d" cx="%.1f" cy="%.1f" r="3"/>`, i, xs.at(s.x), rates.at(s.rate))
		}
		b.WriteString("\n")
		names = append(names, label{i, rates.at(all[len(all)-1].rate)})
	}
	for _, n := range spread(names) {
		fmt.Fprintf(b, `<text class="d%d" x="%.1f" y="%.1f">%s</text>`+"\n", n.style, left+plotWidth+2, n.y+4, html.EscapeString(styles[n.style]))
	}
}

// label is the name of a line, at the height of its end.
type label struct {
	style int
	y     float64
}

// spread moves labels apart that would overlap, about their common middle.
func spread(all []label) []label {
	slices.SortFunc(all, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for range 100 { // each pass moves them by less; a few suffice for five
		moved := false
		for i := 1; i < len(all); i++ {
			if gap := labelHeight - (all[i].y - all[i-1].y); gap > 0.1 {
				all[i-1].y -= gap / 2
				all[i].y += gap / 2
				moved = true
			}
		}
		if !moved {
			break
		}
	}
	return all
}

// short words a figure for an axis: 50k.
func short(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", v)
}
