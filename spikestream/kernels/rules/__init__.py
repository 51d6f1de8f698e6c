"""Rules by which synapses learn, one file each; docs/composing.md says what such a file holds."""
