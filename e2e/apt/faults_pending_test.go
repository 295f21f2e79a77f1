package apt

// notYet are the rows that the box does not pass, by what it lacks. A row that
// passes must not be here.
var notYet = reasonByRow(map[string][]string{
	"a file that begins late is waited for, and no other one suffers": {
		"InRelease begins after 20 s",
		"index begins after 20 s",
		"other files while a package begins after 20 s",
		"package begins after 20 s",
	},
	"a client that half-closes gets its answer": {
		"client that half-closes",
	},
	"a redirect loop is found at once, and is the mirror's fault": {
		"redirect loop for all",
		"redirect loop for packages",
	},
	"what comes from a redirector is asked where its Release came from": {
		"redirector to an empty mirror for indices",
		"redirector to an empty mirror once for a package",
		"redirector to an older mirror for indices",
		"redirector to an older mirror for indices, by hash",
	},
	"an answer out of shape is read as apt reads it, or is the mirror's fault": {
		"206 not asked for, InRelease",
		"206 not asked for, index",
		"206 not asked for, of the end, InRelease",
		"206 not asked for, of the end, packages",
		"206 not asked for, packages",
		"206 not asked for, without Content-Range, InRelease",
		"304 for all Release files",
		"Content-Encoding UTF-8, InRelease",
		"Content-Encoding UTF-8, index",
		"Content-Encoding UTF-8, packages",
		"Content-Encoding gzip of what is not, InRelease",
		"Content-Encoding gzip of what is not, packages",
		"Content-Encoding none, InRelease",
		"Content-Length that is no number, InRelease",
		"Content-Length too large, InRelease",
		"Content-Length too large, packages",
		"Content-Length too small, InRelease",
		"Content-Length too small, packages",
		"chunks of no size, InRelease",
		"chunks without an end, InRelease",
		"close after the header, InRelease",
		"early close, InRelease",
		"early close, packages",
		"empty file, InRelease",
		"empty file, index",
		"empty file, packages",
		"reset after the header, InRelease",
		"reset after the header, index",
		"reset after the header, packages",
		"status of four digits, InRelease",
		"two Content-Lengths, InRelease",
	},
	"final statuses reach apt as such, without a body where direct ends, and never replace a held Release": {
		"400 for Release files",
		"400 without a body for Release files",
		"403 for Release files",
		"403 without a body for Release files",
		"404 for Release files",
		"404 without a body for Release files",
		"408 for Release files",
		"408 without a body for Release files",
		"410 for Release files",
		"410 without a body for Release files",
		"429 for Release files",
		"429 without a body for Release files",
		"451 for Release files",
		"451 without a body for Release files",
		"500 for Release files",
		"500 without a body for Release files",
		"501 for Release files",
		"501 without a body for Release files",
		"502 without a body for Release files",
		"503 without a body for Release files",
		"504 for Release files",
		"504 without a body for Release files",
		"505 for Release files",
		"505 without a body for Release files",
		"508 for Release files",
		"508 without a body for Release files",
		"511 for Release files",
		"511 without a body for Release files",
		"599 for Release files",
		"599 without a body for Release files",
	},
	"final statuses reach apt as such, after few requests": {
		"429 for indices",
		"429 for packages",
		"500 for indices",
		"500 for packages",
		"503 for indices",
		"503 without a body for indices",
		"505 for indices",
		"505 for packages",
	},
	"no Location and no file are no new Release": {
		"302 without Location for Release files",
	},
	"a Release and its signature are of one time": {
		"new Release and Release.gpg with the old index",
		"new Release, Release.gpg gone",
		"new Release, Release.gpg of the old one",
	},
	"a mirror that went back is not followed": {
		"former generation, 304 without ETag, another component",
		"new index with the old Release",
	},
	"the whole generation is served until the new one is there": {
		"new Release with the old index",
		"new Release with the old index, apt with its own retries",
		"new Release, its index by hash never comes",
		"new Release, its index by name never comes",
	},
	"what is wrong ends apt as direct does, and names the mirror": {
		"302 to a portal page for all",
		"InRelease that ends early",
		"damaged InRelease",
		"damaged index",
		"damaged package once",
		"damaged packages",
		"index that is too long",
		"package that is too short",
		"portal page for all",
		"portal page for indices",
		"portal page for packages",
		"portal page once for InRelease",
		"portal page with the file's validators for InRelease",
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
