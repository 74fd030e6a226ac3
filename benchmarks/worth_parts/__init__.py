"""What `worth.py` is made of: cases, figures of their logs, the page."""
