"""The external cluster."""
