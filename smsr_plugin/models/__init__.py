"""BasicSR models of the plugin."""

from smsr_plugin import basicsr_compat  # noqa: F401  BasicSR does not import without it
