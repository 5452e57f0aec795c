"""Training and testing in BasicSR: the only folder that knows it.

Importing the package puts the torchvision shim in place, so that the modules inside it may import
BasicSR.
"""

from smsr_plugin.training import basicsr_compat  # noqa: F401  BasicSR does not import without it
