"""Guidance of real users: whoever asks is decided for, and what happened is taken in."""
