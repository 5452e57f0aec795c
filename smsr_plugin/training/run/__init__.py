"""BasicSR's two pipelines, as people start, stop and resume them."""
