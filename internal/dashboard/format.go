package dashboard

import "fmt"

// FormatBytes writes n in decimal units, as disks, links and apt itself count.
func FormatBytes(n int64) string {
	sign, v := "", float64(n)
	if v < 0 {
		sign, v = "−", -v
	}
	if v < 1000 {
		return fmt.Sprintf("%s%.0f B", sign, v)
	}
	unit := 0
	for v >= 999.95 && unit < 6 {
		v /= 1000
		unit++
	}
	return fmt.Sprintf("%s%.1f %cB", sign, v, " kMGTPE"[unit])
}
