"""Proactive recommendation: guide users toward target items, and measure it honestly."""
