package apt

func toolShapes() []shape { return nil }
