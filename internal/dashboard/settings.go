package dashboard

import (
	"context"

	"millpond/internal/api"
)

func (d *Dashboard) getSettings(context.Context, *none) (api.Settings, error) {
	return api.Settings{Admin: d.adminToken != "", ClientPort: d.clientPort, Settings: append([]api.Setting{}, d.settings...)}, nil
}
