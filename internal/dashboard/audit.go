package dashboard

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"millpond/internal/front"
)

// bodyIsPrivate marks, in an operation's Metadata, that its body is not for the audit.
const bodyIsPrivate = "body is private"

// audit does an admin action, and writes its line of the audit, which is also an event:
// which action, on what, by which client, with which result.
func (d *Dashboard) audit(ctx huma.Context, r *http.Request, next func(huma.Context)) {
	o := ctx.Operation()
	what, result := strings.TrimPrefix(r.URL.Path, apiRoot), "not finished"
	if o.Metadata[bodyIsPrivate] == nil {
		what = strings.TrimSpace(what + " " + bodyOf(r, o.MaxBodyBytes))
	}
	defer func() {
		d.log.Info("admin action", "action", o.OperationID, "what", short(what, maxText), "client", front.ClientOf(r), "result", result)
	}()
	next(ctx)
	if code := ctx.Status(); code < 300 {
		result = "done"
	} else {
		result = "refused with " + strconv.Itoa(code) + " " + http.StatusText(code)
	}
}

// bodyOf is a request's JSON, without spaces; "" if it is none. Whoever reads the body
// next gets all of it.
func bodyOf(r *http.Request, most int64) string {
	if r.Body == nil || most <= 0 {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, most))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = broken{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), rest), r.Body}
	var b bytes.Buffer
	if json.Compact(&b, text) != nil || b.String() == "{}" {
		return ""
	}
	return b.String()
}

// broken is a body that broke off.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
