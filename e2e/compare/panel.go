package compare

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
