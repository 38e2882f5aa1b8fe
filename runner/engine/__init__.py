"""Runs a bound Plan: blocks, retries, the undo stack, waits, cancellation."""
