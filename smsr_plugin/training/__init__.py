"""Training and testing in BasicSR: the only folder that knows it.

Importing the package puts the torchvision shim in place, without which BasicSR cannot be imported,
and registers the package's networks, models, losses and data sets in BasicSR: after it BasicSR's
own `train_pipeline` and `test_pipeline` find them in option files.
"""

from smsr_plugin.training import basicsr_compat  # noqa: F401  before all else

# isort: split
from smsr_plugin.training.registration import register_all

register_all()
