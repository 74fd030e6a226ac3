"""Simulated users: hidden interest, response and drift."""
