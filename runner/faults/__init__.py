"""One file a fault kind. A fault kind is a step kind that breaks something."""
