"""The evaluate job from task to report, with makers of samples whose quality is known."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gencontract.codes import Code
from gencontract.report import Report
from gencontract.task import Checkpointing, EvaluateTask, Input, MetricGate, PrepareTask, Source, TrainTask
from gencontract.wire import decode_report, encode_report
from gentrainers import artifact
from gentrainers.data import open_dataset
from gentrainers.errors import JobError
from gentrainers.jobs import evaluate, prepare, train
from gentrainers.metrics import all_metrics
from gentrainers.pod import Lines, Pod

DIGEST = "sha256:" + "0" * 64
N = 120


@dataclass(frozen=True)
class Fake:
    """A model that makes what `make` says. It has the surface of model.load's answer and no network."""

    make: Callable[[int, int], Any]
    family: str = "flow"
    digest: str = DIGEST
    told: str = ""
    nats: Any = None
    data: Any = field(default_factory=lambda: SimpleNamespace(format="images", height=8, width=8, channels=1, vocab=0))
    body: dict[str, Any] = field(
        default_factory=lambda: {"size": "xs", "step": 10, "seed": 0, "config": {"ema": 0.999}}
    )

    def sample(self, n: int, seed: int, condition: Any = None) -> Any:
        return self.make(n, seed) if condition is None else self.make_for(condition, seed)

    def make_for(self, condition: Any, seed: int) -> Any:
        return self.make(len(condition), seed)

    def nll(self, split: Any) -> Any:
        return None if self.nats is None else self.nats(split)

    def generation(self) -> Any:
        return SimpleNamespace(inputs=[SimpleNamespace(name=self.told)] if self.told else [])


@pytest.fixture(scope="module", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Fit each extractor once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


def pod() -> Pod:
    return Pod(Lines(io.StringIO()))


def prepared(path: Path, name: str, format: Any, **how: Any) -> str:
    source = Source(kind="builtin", name=name, samples=how.pop("samples", None))
    prepare.run(PrepareTask(source=source, format=format, output=str(path), **how), pod())
    return str(path)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepared(tmp_path_factory.mktemp("digits") / "data", "digits", "images")


@pytest.fixture(scope="module")
def real(digits: str) -> NDArray[np.uint8]:
    return np.asarray(open_dataset(digits).split("train").arrays["x"])


def noisy(real: NDArray[np.uint8], amount: float) -> Fake:
    """A maker as good as `amount` is small: training rows with noise of so many bytes."""

    def make(n: int, seed: int) -> NDArray[np.uint8]:
        random = np.random.default_rng([seed, 5])
        rows = real[random.integers(0, len(real), n)]
        return np.clip(rows + random.normal(0, amount, rows.shape), 0, 255).astype(np.uint8)

    return Fake(make)


Run = Callable[..., tuple[Report, Path]]


@pytest.fixture
def evaluated(digits: str, tmp_path: Path) -> Run:
    """Run one evaluation; models are given by role."""

    def run(subject: Fake, *gates: MetricGate, baseline: Fake | None = None, **task: Any) -> tuple[Report, Path]:
        models = {"subject": subject, "baseline": baseline}
        out = tmp_path / "report"
        asked = EvaluateTask(
            subject=Input(uri="subject"),
            baseline=Input(uri="baseline") if baseline else None,
            metrics=list(gates),
            **{"dataset": Input(uri=digits), "samples": N, "output": str(out), **task},
        )
        return evaluate.run(asked, pod(), lambda uri, _digest, _device: models[uri]), out

    return run


def test_a_good_model_passes_and_its_report_says_why(evaluated: Run, real: NDArray[np.uint8]) -> None:
    gates = [
        MetricGate(name="fid", op="<=", threshold=40, max_regression=0.5, primary=True),
        MetricGate(name="coverage", op=">=", threshold=0.5),
        MetricGate(name="kid"),
    ]
    report, out = evaluated(noisy(real, 15), *gates, baseline=noisy(real, 120))
    assert (report.code, report.verdict) == (Code.DONE, "Passed")
    assert report.message == "Passed: 2 of 2 gated metrics passed"
    record = json.loads((out / "report.json").read_text())
    fid = record["metrics"][0]
    assert fid["subject"]["low"] < fid["subject"]["value"] < fid["subject"]["high"] < fid["baseline"]["low"]
    assert (fid["subject"]["n"], fid["subject"]["unit"]) == (5, "seeds")
    assert fid["floor"]["rows"] == N
    assert fid["subject"]["value"] > fid["floor"]["value"]
    assert fid["secondOpinion"]["difference"]["high"] < 0
    assert set(record["extractors"]) == {"learned", "random"}
    assert record["dataset"]["digest"] == open_dataset(record["dataset"]["uri"]).digest
    assert record["subject"] | {"digest": DIGEST, "weights": "ema", "step": 10} == record["subject"]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["manifest.json", "report.json", "report.html", "samples.png", "baseline.png", "real.png", "nearest.png"]
    )


def test_a_bad_model_fails(evaluated: Run, real: NDArray[np.uint8]) -> None:
    report, _ = evaluated(noisy(real, 120), MetricGate(name="fid", op="<=", threshold=5))
    assert report.verdict == "Failed"
    assert report.message.startswith("Failed: fid: at least ")
    assert report.metrics[0].passed is False


def test_copies_of_the_training_data_fail_by_novelty_and_not_by_distance(
    evaluated: Run, real: NDArray[np.uint8]
) -> None:
    gates = [MetricGate(name="fid", op="<=", threshold=15), MetricGate(name="novelty", op=">=", threshold=0.3)]
    report, out = evaluated(noisy(real, 0), *gates, MetricGate(name="nearestRatio"))
    assert report.verdict == "Failed"
    assert {m.name: m.passed for m in report.metrics} == {"fid": True, "novelty": False, "nearestRatio": None}
    by_name = {m.name: m for m in report.metrics}
    assert (by_name["novelty"].value, by_name["nearestRatio"].value) == (0, 0)
    floors = {m["name"]: m["floor"]["value"] for m in json.loads((out / "report.json").read_text())["metrics"]}
    assert floors["novelty"] > 0.4
    assert floors["nearestRatio"] == pytest.approx(1, abs=0.1)


def test_what_the_data_do_not_decide_is_inconclusive_and_says_what_would(
    evaluated: Run, real: NDArray[np.uint8]
) -> None:
    known, _ = evaluated(noisy(real, 60), MetricGate(name="coverage"))
    assert known.verdict == "Inconclusive"
    assert "Nothing was claimed" in known.message
    at = known.metrics[0].value
    report, _ = evaluated(noisy(real, 60), MetricGate(name="coverage", op=">=", threshold=at and at + 1e-4))
    assert report.verdict == "Inconclusive"
    assert "seeds would decide" in report.message


def test_fewer_than_five_seeds_decide_nothing_about_a_distribution(evaluated: Run, real: NDArray[np.uint8]) -> None:
    report, _ = evaluated(noisy(real, 0), MetricGate(name="coverage", op=">=", threshold=0.1), seeds=[0, 1, 2])
    assert report.verdict == "Inconclusive"
    assert "3 seeds, at least 5 are needed" in report.message


def test_a_rerun_gives_the_same_report_bit_for_bit(
    evaluated: Run, real: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = {"latencyP95", "throughput"}
    gates = [MetricGate(name=m.name) for m in all_metrics().values() if _fits(m.name) and m.name not in timed]
    first, _ = evaluated(replace(noisy(real, 30), told="label"), *gates)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no extractor is cached here"))
    second, _ = evaluated(replace(noisy(real, 30), told="label"), *gates)
    assert first.artifact is not None
    assert first.artifact == second.artifact


def _fits(name: str) -> bool:
    metric = all_metrics()[name]
    return "images" in metric.modalities and metric.needs not in ("oracle", "likelihood")


def test_a_model_is_no_worse_than_itself(evaluated: Run, real: NDArray[np.uint8]) -> None:
    same = noisy(real, 30)
    report, _ = evaluated(same, MetricGate(name="fid", max_regression=0.01), baseline=same)
    assert report.verdict == "Passed"
    primary, _ = evaluated(same, MetricGate(name="fid", primary=True), baseline=same)
    assert primary.verdict == "Failed"  # a primary metric without a limit must beat the baseline


def test_an_agreement_of_conditional_samples_is_1_for_real_pairs_and_0_for_shuffled(
    evaluated: Run, digits: str
) -> None:
    split = open_dataset(digits).split("validation").arrays
    x, y = np.asarray(split["x"]), np.asarray(split["y"])

    class Told(Fake):
        def make_for(self, condition: Any, seed: int) -> Any:
            random = np.random.default_rng(seed)
            wanted = condition if self.family == "told" else random.permutation(condition)
            return np.stack([x[random.choice(np.flatnonzero(y == c))] for c in wanted])

    told = Told(lambda n, seed: x[:n], family="told", told="label")
    good, _ = evaluated(told, MetricGate(name="clip", op=">=", threshold=0.8))
    assert good.verdict == "Passed"
    assert good.metrics[0].value == pytest.approx(1, abs=0.1)
    shuffled, _ = evaluated(replace(told, family="shuffled"), MetricGate(name="clip"))
    assert shuffled.metrics[0].value == pytest.approx(0, abs=0.1)


def test_likelihood_is_given_in_nats_and_in_bits_per_dimension(evaluated: Run, real: NDArray[np.uint8]) -> None:
    random = np.random.default_rng(0)
    subject = replace(noisy(real, 30), nats=lambda split: random.normal(92.3, 5, len(split)))
    gates = [MetricGate(name="nll", op="<=", threshold=95), MetricGate(name="bitsPerByte")]
    report, _ = evaluated(subject, *gates)
    by_name = {m.name: m for m in report.metrics}
    assert report.verdict == "Passed"
    assert by_name["nll"].value == pytest.approx(92.3, abs=1.5)
    assert by_name["bitsPerByte"].value == pytest.approx(92.3 / 64 / np.log(2), abs=0.05)


def test_latency_and_throughput_are_measured_here(evaluated: Run, real: NDArray[np.uint8]) -> None:
    gates = [
        MetricGate(name="latencyP95", op="<=", threshold=500),
        MetricGate(name="throughput", op=">=", threshold=1, options={"batch": 8, "repeats": 10}),
    ]
    report, _ = evaluated(noisy(real, 30), *gates)
    assert report.verdict == "Passed"
    assert [m.samples for m in report.metrics] == [100, 10]


def test_every_metric_fits_into_a_termination_message(evaluated: Run, real: NDArray[np.uint8]) -> None:
    gates = [MetricGate(name=m, op=">=", threshold=-1e9) for m in all_metrics() if _fits(m)]
    gates[-1] = gates[-1].model_copy(update={"primary": True})
    subject = replace(noisy(real, 30), told="label")
    report, _ = evaluated(subject, *gates, baseline=replace(noisy(real, 31), told="label"))
    text = encode_report(report)
    assert len(text.encode()) <= 4096
    back = decode_report(text)
    assert back is not None
    assert back.verdict == "Passed"
    assert [m.name for m in back.metrics] == [m.name for m in report.metrics]
    assert back.metrics[0].primary


WRONG: list[Any] = [
    pytest.param(
        {"gates": [MetricGate(name="fidd")]},
        Code.BAD_CONFIG,
        "metrics[0].name = 'fidd'",
        "did you mean fid?",
        id="typo",
    ),
    pytest.param(
        {"gates": [MetricGate(name="latencyp95")]}, Code.BAD_CONFIG, "latencyp95", "mean latencyP95?", id="case"
    ),
    pytest.param(
        {"gates": [MetricGate(name="custom")]}, Code.UNSUPPORTED, "custom", "an image of your own", id="custom"
    ),
    pytest.param({"gates": []}, Code.BAD_CONFIG, "metrics:", "name at least one", id="nothing asked"),
    pytest.param(
        {"gates": [MetricGate(name="longestCopy")]},
        Code.BAD_CONFIG,
        "for text, music",
        "images there are",
        id="modality",
    ),
    pytest.param(
        {"samples": 5000}, Code.BAD_CONFIG, "samples: 5000", "ask for at most", id="more than the split holds"
    ),
    pytest.param({"seeds": []}, Code.BAD_CONFIG, "seeds: the list is empty", "at least 5", id="no seeds"),
    pytest.param({"seeds": [1, 2, 1]}, Code.BAD_CONFIG, "seeds: 1 is given twice", "remove one", id="a seed twice"),
    pytest.param(
        {"gates": [MetricGate(name="fid", op="<=")]}, Code.BAD_CONFIG, "has no threshold", "give both", id="half a gate"
    ),
    pytest.param(
        {"gates": [MetricGate(name="fid", threshold=float("nan"), op="<=")]},
        Code.BAD_CONFIG,
        "threshold = nan",
        "finite",
        id="NaN as a threshold",
    ),
    pytest.param(
        {"gates": [MetricGate(name="fid", max_regression=1)]},
        Code.BAD_CONFIG,
        "maxRegression = 1.0 needs a baseline",
        "op and threshold",
        id="regression from nothing",
    ),
    pytest.param(
        {"gates": [MetricGate(name="density", options={"kk": 3})]},
        Code.BAD_CONFIG,
        "options.kk = 3",
        "did you mean k?",
        id="unknown option",
    ),
    pytest.param(
        {"gates": [MetricGate(name="density", options={"k": 0})]},
        Code.BAD_CONFIG,
        "options.k = 0",
        "from 1 on",
        id="bad option",
    ),
    pytest.param(
        {"gates": [MetricGate(name="fid"), MetricGate(name="fid")]},
        Code.BAD_CONFIG,
        "named twice",
        "one entry",
        id="twice",
    ),
    pytest.param(
        {"gates": [MetricGate(name="nll")]}, Code.UNSUPPORTED, "gives no likelihood", "use fid", id="no likelihood"
    ),
    pytest.param(
        {"gates": [MetricGate(name="clip")]},
        Code.UNSUPPORTED,
        "takes neither class nor caption",
        "leave clip out",
        id="not conditional",
    ),
    pytest.param(
        {"gates": [MetricGate(name="oracleAccuracy")]}, Code.BAD_CONFIG, "no oracle", "leave it out", id="no oracle"
    ),
]


@pytest.mark.parametrize(("wrong", "code", "names", "remedy"), WRONG)
def test_a_wrong_task_is_refused_and_leaves_nothing(
    wrong: dict[str, Any], code: Code, names: str, remedy: str, evaluated: Run, real: NDArray[np.uint8], tmp_path: Path
) -> None:
    gates = wrong.pop("gates", [MetricGate(name="fid")])
    with pytest.raises(JobError) as caught:
        evaluated(noisy(real, 30), *gates, **wrong)
    wrong["gates"] = gates
    assert caught.value.code == code
    assert names in str(caught.value)
    assert remedy in str(caught.value)
    assert not list(tmp_path.iterdir())


def bad_samples(kind: str) -> Fake:
    def nan(n: int, seed: int) -> Any:
        rows = np.random.default_rng(seed).uniform(0, 1, (n, 8, 8, 1))
        rows[3] = np.nan
        return rows

    makes = {
        "NaN": nan,
        "same": lambda n, seed: np.arange(n * 64, dtype=np.uint8).reshape(n, 8, 8, 1),
        "few": lambda n, seed: np.zeros((n - 1, 8, 8, 1), np.uint8),
    }
    return Fake(makes[kind])


@pytest.mark.parametrize(
    ("kind", "code", "names"),
    [
        ("NaN", Code.NON_FINITE, "subject (flow): 1 of 120 samples hold NaN or infinity"),
        ("same", Code.BAD_DATA, "seeds 0 and 1 gave the same 120 samples"),
        ("few", Code.BAD_DATA, "asked for 120 samples, sample() gave 119"),
    ],
)
def test_samples_that_are_none_are_refused(kind: str, code: Code, names: str, evaluated: Run, tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        evaluated(bad_samples(kind), MetricGate(name="fid"))
    assert caught.value.code == code
    assert names in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("role", ["subject", "baseline"])
def test_a_model_of_another_kind_of_data_is_refused(role: str, evaluated: Run, real: NDArray[np.uint8]) -> None:
    other = replace(noisy(real, 30), data=SimpleNamespace(format="text", vocab=7))
    subject, baseline = (other, None) if role == "subject" else (noisy(real, 30), other)
    with pytest.raises(JobError, match=f"{role}: {role} makes format text, the dataset holds format images"):
        evaluated(subject, MetricGate(name="fid"), baseline=baseline)
    larger = replace(noisy(real, 30), data=SimpleNamespace(format="images", height=32, width=32, channels=1))
    with pytest.raises(JobError, match="makes height 32, the dataset holds height 8"):
        evaluated(larger, MetricGate(name="fid"))


def test_an_evaluation_that_is_asked_to_stop_leaves_nothing(
    digits: str, real: NDArray[np.uint8], tmp_path: Path
) -> None:
    stopped = pod()

    def make(n: int, seed: int) -> Any:
        stopped.stop()
        return noisy(real, 30).make(n, seed)

    task = EvaluateTask(
        subject=Input(uri="subject"),
        dataset=Input(uri=digits),
        samples=N,
        metrics=[MetricGate(name="fid")],
        output=str(tmp_path / "report"),
    )
    with pytest.raises(JobError) as caught:
        evaluate.run(task, stopped, lambda *_: Fake(make))
    assert caught.value.code == Code.PREEMPTED
    assert not list(tmp_path.iterdir())


def test_a_trained_model_is_evaluated_from_its_artifact(digits: str, tmp_path: Path) -> None:
    checkpoint = Checkpointing(uri=str(tmp_path / "checkpoints"))
    task = TrainTask(
        dataset=Input(uri=digits),
        family="flow",
        hyperparameters={"steps": 20, "width": 32, "sampleSteps": 2},
        checkpoint=checkpoint,
        output=str(tmp_path / "model"),
    )
    trained = train.run(task, pod())
    assert trained.artifact is not None
    asked = EvaluateTask(
        subject=Input(uri=trained.artifact.uri, digest=trained.artifact.digest),
        dataset=Input(uri=digits),
        samples=40,
        metrics=[MetricGate(name="fid", op="<=", threshold=5), MetricGate(name="clip", op=">=", threshold=0.9)],
        output=str(tmp_path / "report"),
    )
    report = evaluate.run(asked, pod())
    assert report.verdict == "Failed"  # after 20 steps
    record = json.loads((tmp_path / "report/report.json").read_text())
    assert record["subject"]["digest"] == trained.artifact.digest
    assert record["subject"]["sampler"] == {"sample_steps": 2, "guidance": 1.0}
    assert artifact.open_artifact(str(tmp_path / "report"), "report").digest == record_digest(report)


def record_digest(report: Report) -> str:
    assert report.artifact is not None
    return report.artifact.digest


def test_floats_become_bytes_by_rounding_and_not_by_cutting() -> None:
    from gentrainers.metrics.kit.rows import to_bytes

    bright = np.full((1, 1, 1, 1), 0.9999)
    assert to_bytes(bright).item() == 255  # a cast would say 254
    every = np.arange(256, dtype=np.uint8)
    assert (to_bytes(every / 255) == every).all()
