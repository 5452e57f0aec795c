"""BasicSR's models of the plugin."""
