"""What `hour.py` is made of: errands beside decisions, and the page."""
