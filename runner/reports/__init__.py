"""Pure functions of a Run: json, junit, html, terminal."""
