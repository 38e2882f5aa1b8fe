"""Samples and events to windows, latency, phases, recovery, verdicts. Pure: no clock, no loop, no files."""
