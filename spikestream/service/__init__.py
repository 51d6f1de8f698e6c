"""What runs: channel, engine, hub, daemon."""
