"""At most one leader, whatever the clocks of the machines say."""

from genops.core.kinds import LEASE
from genops.shell.errors import ApiError, Unreachable
from genops.shell.fake import FakeCluster
from genops.shell.leader import DURATION, RENEW_DEADLINE, Leader


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pair(cluster: FakeCluster, clock: Clock) -> tuple[Leader, Leader]:
    return (
        Leader(cluster, "ops", "lease", "first", clock),
        Leader(cluster, "ops", "lease", "second", clock),
    )


async def holder(cluster: FakeCluster) -> str:
    lease = await cluster.get(LEASE, "ops", "lease")
    assert lease is not None
    return str(lease["spec"]["holderIdentity"])


async def test_the_first_takes_a_free_lease_and_the_second_waits() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    assert await first._try()
    assert not await second._try()
    assert (first.leading, second.leading) == (True, False)


async def test_a_lease_that_ran_out_on_the_watchers_own_clock_is_taken() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    await first._try()
    assert not await second._try()
    clock.now += DURATION - 0.1
    assert not await second._try()
    clock.now += 0.2
    assert await second._try()
    assert not first.leading, "the old leader stopped before the new one could start"
    assert await holder(cluster) == "second"


async def test_a_renewal_starts_the_wait_anew() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    await first._try()
    await second._try()
    for _ in range(5):
        clock.now += DURATION - 5
        assert await first._try()
        assert not await second._try()


async def test_times_written_by_a_clock_that_is_wrong_do_not_matter() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    await first._try()
    lease = await cluster.get(LEASE, "ops", "lease")
    assert lease is not None
    lease["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
    await cluster.replace(LEASE, lease)
    assert not await second._try()


async def test_a_leader_that_cannot_renew_gives_up_before_its_lease_runs_out() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, _ = pair(cluster, clock)
    await first._try()
    cluster.before = lambda verb, kind, name: Unreachable("away")
    clock.now += RENEW_DEADLINE - 0.1
    assert not await first._try()
    assert first.leading
    clock.now += 0.2
    assert not first.leading
    assert RENEW_DEADLINE < DURATION


async def test_a_released_lease_is_taken_at_once() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    await first._try()
    await second._try()
    await first.release()
    assert not first.leading
    assert await second._try()
    lease = await cluster.get(LEASE, "ops", "lease")
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 1


async def test_release_leaves_the_lease_of_another_alone() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    await first._try()
    await second._try()
    clock.now += DURATION + 1
    await second._try()
    await first.release()
    assert await holder(cluster) == "second"


async def test_of_two_that_write_at_once_one_wins() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    await first._try()
    await second._try()
    clock.now += DURATION + 1
    third = Leader(cluster, "ops", "lease", "third", clock)
    await third._try()
    clock.now += DURATION + 1
    await second._try()
    await third._try()
    assert sorted([second.leading, third.leading]) == [False, True]


async def test_a_candidate_says_whether_it_could_take_over() -> None:
    cluster, clock = FakeCluster(), Clock()
    first, second = pair(cluster, clock)
    assert second.trouble == "the lease ops/lease was not asked for yet"
    await first._try()
    await second._try()
    assert second.trouble == "", "it waits for its turn"
    cluster.before = lambda verb, kind, name: ApiError(403, "Forbidden", "leases is forbidden")
    await second._try()
    assert second.trouble == "403 Forbidden: leases is forbidden"
    cluster.before = lambda verb, kind, name: None
    await second._try()
    assert second.trouble == ""
