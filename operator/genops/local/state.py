"""What one cluster has chosen for itself: its slice of 127/8, its ports, its options. Kept as one JSON file."""

import json
import random
import socket
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# Below the kernel's range for outgoing connections, which could take a port between our look and its use.
PORT_RANGE = range(20000, 30000)
NODE_PORT = 10250


@dataclass(frozen=True)
class Options:
    """What `up` was asked for."""

    audit: bool = False
    node: bool = True  # without one, pods stay Pending and the machine stays quiet
    cpus: int | None = None  # what the node offers; the machine's own number if not given
    restart_back_off: float = 10.0
    images: dict[str, str] = field(default_factory=dict)  # image name prefix -> virtual environment


@dataclass(frozen=True)
class State:
    """One cluster's addresses and ports. 127.<slice>.0.0/16 is its own: node, pods and services live there."""

    slice: int
    ports: dict[str, int]
    options: Options = field(default_factory=Options)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    @property
    def node_address(self) -> str:
        """The node's address, where it answers for logs."""
        return f"127.{self.slice}.0.1"

    @property
    def pod_network(self) -> str:
        """Where pods get their addresses from."""
        return f"127.{self.slice}.64.0/18"

    @property
    def service_network(self) -> str:
        """Where the API server takes cluster addresses from."""
        return f"127.{self.slice}.128.0/17"

    @property
    def api_service(self) -> str:
        """The address of the service `kubernetes`: the first one."""
        return f"127.{self.slice}.128.1"


def load(path: Path) -> State | None:
    """Read the state of a cluster that has been started before."""
    try:
        raw = json.loads(path.read_text())
        return State(raw["slice"], raw["ports"], Options(**raw["options"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, state: State) -> None:
    """Remember the state."""
    path.write_text(json.dumps(asdict(state), indent=2))


def choose(options: Options) -> State:
    """Pick a slice of 127/8 and ports that nobody uses."""
    return State(_free_slice(), free_ports(), options)


def moved(state: State) -> State:
    """Keep the slice, which addresses in the API depend on, and pick other ports."""
    return replace(state, ports=free_ports())


def free_ports() -> dict[str, int]:
    """Pick a free loopback port for each component."""
    candidates = iter(random.sample(PORT_RANGE, len(PORT_RANGE)))
    return {name: next(port for port in candidates if is_free("127.0.0.1", port)) for name in PORTS}


def is_free(address: str, port: int) -> bool:
    """Say whether an address and port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _free_slice() -> int:
    slices = random.sample(range(1, 255), 254)
    return next(number for number in slices if is_free(f"127.{number}.0.1", NODE_PORT))
