"""Everything between BasicSR's training and test pipelines and the people who use them.

Importing the package puts the torchvision shim in place, so that the modules inside it may import
BasicSR. In the data-loader workers of a system that does not fork, the plugin's data set does.
"""

from smsr_plugin import basicsr_compat  # noqa: F401  BasicSR does not import without it
