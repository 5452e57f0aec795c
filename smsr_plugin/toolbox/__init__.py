"""Everything between BasicSR's training and test pipelines and the people who use them.

Importing the package puts the torchvision shim in place, so that the modules inside it, and
data-loader workers that start afresh from `toolbox.train`, may import BasicSR.
"""

from smsr_plugin import basicsr_compat  # noqa: F401  BasicSR does not import without it
