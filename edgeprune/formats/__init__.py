"""One file a format: read without trust, edit, write canonical bytes. No engine, no framework."""
