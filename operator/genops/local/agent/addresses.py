"""Hands out the addresses of the pod network, each to one pod at a time."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Addresses:
    """The pod network. A freed address rests until all others have had their turn."""

    network: str
    taken: dict[str, str] = field(default_factory=dict)  # address -> pod uid
    _turn: Iterator[str] | None = None

    def take(self, pod: str) -> str:
        """Return a free address. Raises StopIteration never: the network is larger than any node's pods."""
        for address in self._cycle():
            if self.taken.setdefault(address, pod) == pod:
                return address
        raise AssertionError("the cycle of addresses never ends")

    def keep(self, address: str, pod: str) -> str:
        """Return the address that a pod had, or another if it was given away."""
        if address and self.taken.setdefault(address, pod) == pod:
            return address
        return self.take(pod)

    def free(self, address: str, pod: str) -> None:
        """Give an address back."""
        if self.taken.get(address) == pod:
            del self.taken[address]

    def _cycle(self) -> Iterator[str]:
        if self._turn is None:
            self._turn = self._endless()
        return self._turn

    def _endless(self) -> Iterator[str]:
        while True:
            yield from map(str, ipaddress.ip_network(self.network).hosts())
