"""Sans-IO codecs, one file a format."""
