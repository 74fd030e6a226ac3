"""What `console.py` is made of: visitors without a browser."""
