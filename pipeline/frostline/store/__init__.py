"""The only part that writes Parquet: schemas, the commit protocol, and reading a sweep back."""
