"""What `serving.py`, `hour.py` and `console.py` share: the service, checks, the page."""
