"""The platform's settings: their names, types and defaults, the file's syntax, and the addresses made of them."""

from sluice.settings.settings import LOOPBACK, ROOT, Settings, env_file, file_variables, load_settings, variable

__all__ = ["LOOPBACK", "ROOT", "Settings", "env_file", "file_variables", "load_settings", "variable"]
