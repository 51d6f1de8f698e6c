"""spikestream: sensors in, spikes through a network that learns while it runs, answers out."""

__version__ = "0.1.0"
