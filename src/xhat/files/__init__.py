"""Files: pictures, measurements and their readers, records, caches, and what results are written as."""
