"""What runs networks: one module for each inference library, and the processes they run in."""
