package turn

import (
	"testing"

	"dex/internal/faulttest"
)

func TestFault(t *testing.T) { faulttest.Run(t) }
