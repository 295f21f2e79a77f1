package dashboard

import (
	"context"

	"millpond/internal/api"
)

func (d *Dashboard) getSettings(context.Context, *none) (api.Settings, error) {
	return api.Settings{Admin: d.adminToken != "", ClientPort: d.clientPort, Privacy: d.privacy, Settings: append([]api.Setting{}, d.settings...)}, nil
}
