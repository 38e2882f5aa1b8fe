"""Text to Plan: YAML with positions, models, templates, every mistake of every file at once. Offline."""
