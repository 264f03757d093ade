"""The manager: rows in, rows out. It claims orders, runs them on its workers, and reports."""
