"""What `llm_real.py` is made of: its page, and prompts for models without instructions."""
