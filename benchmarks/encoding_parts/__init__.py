"""What `encoding.py` and `encoding_guidance.py` compare: ways to encode."""
