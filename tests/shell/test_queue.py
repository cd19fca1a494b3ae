"""The work queue keeps client-go's rules."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from genops.shell.queue import BASE_SECONDS, CAP_SECONDS, WorkQueue


async def take(queue: WorkQueue[str]) -> str | None:
    return await asyncio.wait_for(queue.get(), 1)


async def test_a_key_waits_at_most_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    assert [await take(queue), await take(queue)] == ["a", "b"]


async def test_a_key_in_work_is_not_given_out_again_and_runs_once_more_after() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await take(queue) == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert queue.idle


async def test_failures_double_the_delay_up_to_the_cap_and_success_forgets_them() -> None:
    queue: WorkQueue[str] = WorkQueue(jitter=lambda: 1.0)
    delays = []
    for _ in range(14):
        queue.add("a")
        assert await take(queue) == "a"
        delays.append(queue.failed("a"))
    assert delays[:4] == [BASE_SECONDS, 1.0, 2.0, 4.0]
    assert delays[-1] == CAP_SECONDS
    queue.add("a")
    assert await take(queue) == "a"
    queue.done("a")
    queue.add("a")
    assert await take(queue) == "a"
    assert queue.failed("a") == BASE_SECONDS
    queue.close()


async def test_jitter_spreads_a_delay_over_its_upper_half() -> None:
    low, high = WorkQueue[str](jitter=lambda: 0.0), WorkQueue[str](jitter=lambda: 1.0)
    assert (low.failed("a"), high.failed("a")) == (BASE_SECONDS / 2, BASE_SECONDS)
    low.close()
    high.close()


async def test_a_failed_key_comes_back_by_itself() -> None:
    queue: WorkQueue[str] = WorkQueue(jitter=lambda: 0.0)
    queue.add("a")
    await take(queue)
    queue.failed("a")
    assert len(queue) == 0
    assert await take(queue) == "a"


async def test_a_key_that_changed_while_it_failed_does_not_wait_for_its_delay() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.failed("a")
    assert len(queue) == 1


async def test_the_earliest_wish_to_come_back_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)
    assert await take(queue) == "a"
    queue.done("a")
    queue.add_after("a", 60)
    queue.add_after("a", 0.01)
    assert await take(queue) == "a"


async def test_a_closed_queue_sends_its_takers_home() -> None:
    queue: WorkQueue[str] = WorkQueue()
    takers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.close()
    assert await asyncio.gather(*takers) == [None, None, None]
    queue.add("a")
    assert await queue.get() is None


async def test_a_taker_that_was_cancelled_does_not_swallow_a_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    queue.add("a")
    assert await asyncio.wait_for(second, 1) == "a"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(1, 4))
def test_every_added_key_is_looked_at_after_its_last_addition(steps: list[tuple[str, bool]], workers: int) -> None:
    async def law() -> None:
        queue: WorkQueue[str] = WorkQueue(jitter=lambda: 0.0)
        looked: dict[str, int] = {}
        added: dict[str, int] = {}
        running: set[str] = set()
        tick = 0

        async def work() -> None:
            nonlocal tick
            while (key := await queue.get()) is not None:
                assert key not in running, "one key at a time"
                running.add(key)
                tick += 1
                looked[key] = tick
                await asyncio.sleep(0)
                running.discard(key)
                queue.done(key)

        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        for key, pause in steps:
            tick += 1
            added[key] = tick
            queue.add(key)
            if pause:
                await asyncio.sleep(0)
        while not queue.idle:
            await asyncio.sleep(0)
        queue.close()
        await asyncio.gather(*tasks)
        assert all(looked[key] > at for key, at in added.items())

    asyncio.run(law())
