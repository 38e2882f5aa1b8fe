"""One file a step kind that is no fault, and the Stage that steps receive."""
