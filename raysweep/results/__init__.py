"""The run directory -> every planned trial with its metrics, as records, tables and answers."""
