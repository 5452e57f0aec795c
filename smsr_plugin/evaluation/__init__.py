"""Networks compared with each other: quality, cost, time and memory over folders of HR images."""
