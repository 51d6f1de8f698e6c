"""Neurons that a network is composed of, one file each; docs/composing.md says what such a file holds."""
