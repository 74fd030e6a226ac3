"""One way to read CSV, TSV, JSON Lines and Parquet of any size: batches of wanted columns."""
