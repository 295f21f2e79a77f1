package store_test

import (
	"testing"

	"millpond/internal/store"
	"millpond/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Conformance(t, func(tb testing.TB) *store.Store { return storetest.New(tb) })
}
