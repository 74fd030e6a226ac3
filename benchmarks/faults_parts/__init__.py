"""What `faults.py` is made of: processes, what befalls them, what shops saw, the page."""
