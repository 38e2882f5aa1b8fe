"""The prober, its own process in one file, and what drives it."""
