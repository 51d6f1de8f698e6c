"""Labelled data sets as they lie in folders: what they hold and where, before anything of it becomes a stream."""
