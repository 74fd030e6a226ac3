"""Guidance itself: what a journey was shown and answered, what it may be and is shown."""
