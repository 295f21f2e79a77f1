package apt

// notYet are the rows that the box does not pass, by what it lacks. A row that
// passes must not be here.
var notYet = reasonByRow(map[string][]string{
	"a file that begins late is waited for, and no other one suffers": {
		"index begins after 20 s",
	},
	"a redirect loop is found at once, and is the mirror's fault": {
		"redirect loop for all",
		"redirect loop for packages",
	},
	"what comes from a redirector is asked where its Release came from": {
		"redirector to an empty mirror once for a package",
	},
	"an answer out of shape is read as apt reads it, or is the mirror's fault": {
		"206 not asked for, without Content-Range, InRelease",
		"Content-Length that is no number, InRelease",
		"two Content-Lengths, InRelease",
	},
	"final statuses reach apt as such, without a body where direct ends, and never replace a held Release": {
		"408 for Release files",
	},
	"final statuses reach apt as such, after few requests": {
		"429 for indices",
		"503 for indices",
		"503 without a body for indices",
	},
})

// reasonByRow turns the list around.
func reasonByRow(lacking map[string][]string) map[string]string {
	reasons := map[string]string{}
	for reason, rows := range lacking {
		for _, row := range rows {
			reasons[row] = reason
		}
	}
	return reasons
}
