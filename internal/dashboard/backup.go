package dashboard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"millpond/internal/jobs"
)

// backupStall is how long whoever reads a backup may take none of it: the rows of the
// database are kept as they are meanwhile.
const backupStall = 30 * time.Second

// serveBackup adds the backup, which is sent as it is made.
func (d *Dashboard) serveBackup(s *service) {
	o := s.forAdmin(huma.Operation{
		Method: http.MethodPost, OperationID: "makeBackup", Path: "backup", Tags: []string{s.tag},
		Summary: "A backup: identity, settings without secrets, figures, rings, pins, events; neither files nor what the archives tell again",
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{"application/x-tar": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
		}},
	})
	huma.Register(s, o, func(context.Context, *none) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) { d.sendBackup(s, ctx) }}, nil
	})
}

func (d *Dashboard) sendBackup(s *service, ctx huma.Context) {
	_, w := humachi.Unwrap(ctx)
	begun := false
	err := d.backup(func(size int64, write func(io.Writer) error) error {
		begun = true
		ctx.SetHeader("Content-Type", "application/x-tar")
		ctx.SetHeader("Content-Disposition", `attachment; filename="millpond-backup.tar"`)
		ctx.SetHeader("Content-Length", strconv.FormatInt(size, 10))
		ctx.SetStatus(http.StatusOK)
		return write(patient{ctx.BodyWriter(), http.NewResponseController(w)})
	})
	switch {
	case err == nil:
	case begun: // the answer is shorter than it says, by which its reader knows
		d.log.Warn("a backup broke off", "err", err)
	case errors.Is(err, jobs.ErrRunning):
		s.refuse(ctx, http.StatusConflict, "Another backup is being made; ask again when it is done.")
	default:
		d.log.Error("no backup can be made", "err", err)
		s.refuse(ctx, http.StatusInternalServerError, "No backup can be made: "+err.Error())
	}
}

// patient gives each write time of its own, instead of the server's for the whole answer.
type patient struct {
	io.Writer
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	// A server that has no deadlines waits by its own rules.
	if err := p.control.SetWriteDeadline(time.Now().Add(backupStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.Writer.Write(b)
}
