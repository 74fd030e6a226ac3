"""What `laws.py` is made of: its page."""
