"""Bach's chorales as music21 carries them: those of its list that have exactly four parts, in file order.

Parsing takes about 0.1 s a piece. Transposing is left to training; the body says which pitches occur.
"""

from collections.abc import Iterator
from pathlib import Path

from gencontract.codes import Code
from gencontract.report import Progress
from gencontract.task import PrepareTask
from gentrainers.data.formats.music import Music, parse_file
from gentrainers.data.sample import Reject, Sample
from gentrainers.data.sources.base import Fetched
from gentrainers.errors import JobError
from gentrainers.pod import Pod

LICENSE = "CC-PDDC"  # the music; music21 states no claim on the corpus, see its corpus/license.txt
VOICES = 4


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Give the first `source.samples` chorales, or all."""
    music = Music(task.options)
    if music.options.voices != VOICES:
        raise JobError(Code.BAD_CONFIG, f"options.voices is {music.options.voices}, chorales have {VOICES}")
    return Fetched("music21/chorales", LICENSE, samples=lambda: samples(music, task.source.samples, pod))


def samples(music: Music, count: int | None, pod: Pod) -> Iterator[Sample]:
    """Yield chorales on the grid; those with other than four parts are left out."""
    from music21 import corpus

    names = sorted(set(corpus.chorales.Iterator(returnType="filename")))
    given = 0
    for number, name in enumerate(names):
        pod.give_way()
        pod.progress(Progress(stage="parsing chorales", step=number, total=len(names)))
        if given == count:
            return
        score = parse_file(Path(str(corpus.getWork(name))))
        if len(score.parts) != VOICES:
            continue
        try:
            yield music.sample(score, str(name))
        except Reject:
            continue
        given += 1
