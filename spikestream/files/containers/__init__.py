"""One adapter for each format whose parts lie anywhere in its file, or whose library needs the path."""
