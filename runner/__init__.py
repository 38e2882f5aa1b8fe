"""Ftrun breaks a Ray Serve application on purpose and tells how long its users were down, and why."""
