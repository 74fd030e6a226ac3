"""What a guidance run found: tables for the terminal, plots, and one self-contained page."""
