"""The embedded account's engine: its clock, calls, functions, deployment, events, and the repairs of moto."""

from functools import cache
from unittest.mock import patch

from botocore.loaders import JSONFileLoader

# moto reads the list of all endpoints, a megabyte, three times while this is imported.
with patch.object(JSONFileLoader, "load_file", staticmethod(cache(JSONFileLoader().load_file))):
    import moto.ec2.models.availability_zones_and_regions  # noqa: F401
