"""A torchx component: the job of a task file on any scheduler of torchx, with the same ranks as in a pod of ours.

    torchx run -s local_cwd trainers/gentrainers/component.py:train --task task.json
    torchx run -s local_cwd trainers/gentrainers/component.py:train --task task.json -j 2x1

Runs without Kubernetes. torchx is needed by whoever runs the component, not by the trainers.
"""

import shlex
import sys
from pathlib import Path

import torchx.specs as specs

from gencontract.layout import PORT_RENDEZVOUS


def train(
    task: str,
    j: str = "1x1",
    image: str = "",
    cpu: int = 1,
    gpu: int = 0,
    memMB: int = 1024,
    port: int = PORT_RENDEZVOUS,
) -> specs.AppDef:
    """Run the job of a task file.

    Args:
        task: task file in JSON, as gencontract.task describes it
        j: replicas and processes in each, as 2x1
        image: container image; empty runs this interpreter here
        cpu: processors of each replica
        gpu: GPUs of each replica
        memMB: memory of each replica in MB
        port: port where replica 0 is met by the others
    """
    nodes, processes = (int(n) for n in j.split("x"))
    python = "python" if image else sys.executable
    return specs.AppDef(
        name=Path(task).stem,
        roles=[
            specs.Role(
                name="train",
                image=image or str(Path.cwd()),
                entrypoint="bash",
                args=["-c", _line(python, task, nodes, processes, port)],
                env=_environment(nodes, processes),
                num_replicas=nodes,
                resource=specs.Resource(cpu=cpu, gpu=gpu, memMB=memMB),
                port_map={"rendezvous": port} if nodes > 1 else {},
            )
        ],
    )


def _line(python: str, task: str, nodes: int, processes: int, port: int) -> str:
    """Write the command. The scheduler alone knows where replica 0 is, in a variable that the shell reads."""
    trainer = shlex.join(["-m", "gentrainers", "--task", task])
    first = f"$${{{specs.macros.rank0_env}:=localhost}}"
    if processes == 1:
        met = f"MASTER_ADDR={first} MASTER_PORT={port} " if nodes > 1 else ""
        return f"{met}exec {shlex.quote(python)} {trainer}"
    met = f"--nnodes {nodes} --node-rank {specs.macros.replica_id} --master-addr {first} --master-port {port}"
    many = f"--nproc-per-node {processes} {met if nodes > 1 else '--standalone'}"
    return f"exec {shlex.quote(python)} -m gentrainers.launch {many} {trainer}"


def _environment(nodes: int, processes: int) -> dict[str, str]:
    common = {"LOGLEVEL": "WARNING", "PYTHONUNBUFFERED": "1"}
    if nodes == 1 or processes > 1:
        return common
    return {**common, "WORLD_SIZE": str(nodes), "RANK": specs.macros.replica_id}
