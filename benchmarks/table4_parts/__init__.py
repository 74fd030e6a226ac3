"""What `table4.py` is made of: the pictures of its pages."""
