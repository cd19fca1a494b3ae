"""GenEvaluation on a real API server: a trained flow is measured and judged, by numbers and by people."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import Place, a_place, evaluation, said, train_digits
from reviewing import a_browser, a_page, judge_by_keys, whoami

from gencontract.deck import DECK, Deck

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("evaluation")]


@pytest.fixture(scope="module")
def place(crds: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_place(crds, tmp_path_factory.mktemp("evaluation")) as made:
        train_digits(made)
        yield made


def test_a_trained_flow_gets_its_verdict(place: Place) -> None:
    place.make("GenEvaluation", "easy", evaluation())
    status = place.phase("genevaluation", "easy", "Complete", "Failed")
    assert (status["phase"], status["verdict"]) == ("Complete", "Passed"), status
    fid = status["metrics"][0]
    assert float(fid["low"]) < float(fid["value"]) <= float(fid["high"])
    assert status["score"] == fid["value"]
    run, data = place.status("gentrainingjob", "digits"), place.status("gendataset", "digits")
    assert status["inputs"] == {"subjectDigest": run["output"]["digest"], "datasetDigest": data["digest"]}
    assert status["report"]["uri"].startswith("pvc://genops-store/genevaluations/easy-")
    place.kubectl("wait", "genevaluation/easy", "--for=condition=Complete", "--timeout=5s")
    assert "Passed" in place.kubectl("get", "genevaluation", "easy")


def test_a_verdict_outlives_its_job(place: Place) -> None:
    place.phase("genevaluation", "easy", "Complete")
    before = place.status("genevaluation", "easy")
    job = place.list("jobs", "-l", "genops.dev/owner-name=easy")[0]["metadata"]["name"]
    place.kubectl("delete", "job", job)
    place.kubectl("annotate", "genevaluation", "easy", "look=again")
    place.make("GenEvaluation", "nudge", evaluation(datasetRef={"name": "nothing"}))
    place.phase("genevaluation", "nudge", "Pending", seconds=60)
    assert place.status("genevaluation", "easy") == before
    assert place.list("jobs", "-l", "genops.dev/owner-name=easy") == []


def test_a_model_that_does_not_reach_its_threshold_fails(place: Place) -> None:
    place.make("GenEvaluation", "hard", evaluation(threshold=1e-6))
    status = place.phase("genevaluation", "hard", "Complete", "Failed")
    assert (status["verdict"], said(status, "Complete")["reason"]) == ("Failed", "VerdictFailed")


def test_what_is_missing_is_named_and_waited_for(place: Place) -> None:
    place.make("GenEvaluation", "waits", evaluation(subject={"trainingJobRef": {"name": "nobody"}}))
    status = place.phase("genevaluation", "waits", "Pending", seconds=60)
    ready = said(status, "SubjectReady")
    assert (ready["status"], ready["reason"]) == ("False", "WaitingForReference")
    assert "GenTrainingJob/nobody does not exist" in ready["message"]


def test_weights_that_are_not_the_ones_that_were_named_stop_it(place: Place) -> None:
    uri = place.status("gentrainingjob", "digits")["output"]["uri"]
    wrong = {"uri": uri, "digest": "sha256:" + "0" * 64}
    place.make("GenEvaluation", "mismatch", evaluation(subject=wrong))
    status = place.phase("genevaluation", "mismatch", "Failed")
    assert said(status, "Failed")["reason"] == "DigestMismatch"
    assert "manifest.json has digest" in status["lastFailure"]["message"]
    assert status["lastFailure"]["exitCode"] == 67


def test_people_judge_by_keyboard_and_decide(place: Place) -> None:
    human = {"pairs": 8, "raters": 1}
    place.make("GenEvaluation", "asked", evaluation(human=human, decision={"requires": ["Quantitative", "Human"]}))
    waiting = place.phase("genevaluation", "asked", "WaitingForHumans", "Failed")
    assert (waiting["verdict"], waiting["human"]) == ("Inconclusive", {"received": 0, "required": 10})
    deck, me = deck_of(place, waiting), whoami(place)
    with a_page(place.cluster.kubeconfig, place.name, "asked") as address, a_browser() as browser:
        page = browser.new_page()
        page.goto(address)
        assert judge_by_keys(page, deck, me) == 10
    assert {v["spec"]["rater"] for v in place.list("genverdicts")} == {me}
    status = place.phase("genevaluation", "asked", "Complete", "Failed")
    assert status["verdict"] == "Passed", status
    people = status["human"]
    assert (people["received"], people["winRate"], people["consistency"], people["gold"]) == (10, "1", "1", "1")
    assert float(people["winRateLow"]) > 0.5
    assert "won 100% of 8 pairs" in said_of(status, "Human")


def deck_of(place: Place, status: dict[str, Any]) -> Deck:
    """Read the deck where the pod has put it, as an owner of the store may."""
    claim, _, folder = status["report"]["uri"].removeprefix("pvc://").partition("/")
    volume = place.get("pvc", claim)["spec"]["volumeName"]
    path = Path(place.get("pv", volume)["spec"]["local"]["path"]) / folder / DECK
    return Deck.model_validate_json(path.read_bytes())


def said_of(status: dict[str, Any], kind: str) -> str:
    return str(said(status, kind)["message"])
