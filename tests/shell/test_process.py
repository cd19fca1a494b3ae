"""What the process says of its own health."""

import time

from toy import Bench

from genops.shell.errors import ApiError
from genops.shell.fake import FakeCluster
from genops.shell.leader import Leader
from genops.shell.process import DEAD_AFTER_RESYNCS, Process
from genops.shell.settings import Settings


async def test_a_leader_whose_listings_fail_for_three_periods_is_not_alive() -> None:
    bench = Bench()
    process = Process(Settings(resync_seconds=10.0))
    assert process._wrong_alive() == "", "a process that does not lead yet lists nothing"
    process._informing = bench.informing
    await bench.informing.resync()
    assert process._wrong_alive() == ""
    bench.informing._synced_at = time.monotonic() - DEAD_AFTER_RESYNCS * 10.0 - 1
    assert process._wrong_alive() == "no listing has succeeded for 31 s, the limit is 30 s"
    await bench.informing.resync()
    assert process._wrong_alive() == ""


async def test_a_standby_that_could_not_take_over_is_not_ready() -> None:
    process, cluster = Process(Settings()), FakeCluster()
    process._state, process._leader = "standby", Leader(cluster, "ops", "lease", "me")
    assert process._wrong_ready().startswith("standby: the lease ops/lease was not asked for yet")
    cluster.before = lambda verb, kind, name: ApiError(403, "Forbidden", "leases is forbidden")
    await process._leader._try()
    assert process._wrong_ready() == "standby: 403 Forbidden: leases is forbidden"
    cluster.before = lambda verb, kind, name: None
    await process._leader._try()
    assert process._wrong_ready() == ""
