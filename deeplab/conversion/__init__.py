"""Image and label files to records."""
