"""What the process says of its own health."""

import time

from toy import Bench

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
