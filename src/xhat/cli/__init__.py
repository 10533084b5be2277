"""The command line: its arguments, its commands, and what `xhat list` and `xhat demo` show."""
