"""IRN: its network, and how it is trained."""
