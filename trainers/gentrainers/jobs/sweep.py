"""Remove what a dataset has written: its folders, and nothing else.

A folder that is not there is fine: an earlier try removed it, or nothing was ever written.
"""

from gencontract.codes import Code
from gencontract.report import Progress, Report
from gencontract.task import SweepTask
from gentrainers import artifact
from gentrainers.pod import Pod


def run(task: SweepTask, pod: Pod) -> Report:
    """Remove every location of the task. Raises JobError where something is left."""
    for number, uri in enumerate(task.locations):
        pod.give_way()
        pod.progress(Progress(stage="removing", step=number, total=len(task.locations)))
        artifact.erase(uri)
    return Report(verb=task.verb, code=Code.DONE, message=f"Nothing is left at {', '.join(task.locations)}")
