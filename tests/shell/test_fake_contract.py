"""The fake keeps the port's contract."""

import pytest
from cluster_contract import *  # noqa: F403  (the tests are the module)

from genops.shell.fake import FakeCluster


@pytest.fixture
def port() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def space() -> str:
    return "default"
