"""What campaigns with real users stand on: their log and what follows from it, in SQL."""
