"""Bad input on purpose: files, command lines and calls that xhat must refuse in one clear line, or take rightly.

`python -m tests.fuzz` runs all of it, `make fuzz` too, and `tests/test_fuzz.py` a part of it in every test run.
"""
