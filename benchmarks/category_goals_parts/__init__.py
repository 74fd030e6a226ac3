"""What `category_goals.py` is made of: the page."""
