"""The verbs, one file each; what a verb needs is imported inside it."""
