"""The conditions that each kind may say, with their meanings. `kubectl wait --for=condition=TYPE` takes each.

A table for people and for the reference; the stages say the conditions, and a test holds both together.
"""

from collections.abc import Mapping

from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, Kind

# Said on every kind where a spec breaks a rule, or the API server refuses what an object asks for.
REFUSED = "False with reason InvalidSpec or ChildRefused where something was refused"

CONDITIONS: Mapping[Kind, Mapping[str, str]] = {
    GEN_MODEL: {
        "Ready": "The promoted run's model answers, or has passed where nothing is to be served",
    },
    GEN_DATASET: {
        "Fetched": "The source was read",
        "Validated": "No check with action Block stopped the data",
        "Ready": "The data is complete and named by its digest",
    },
    GEN_TRAINING_JOB: {
        "InputsResolved": "Everything the run is made of is there and named by its digest",
        "Admitted": "The pods may start; with a queue, Kueue has given the run its share",
        "Complete": "The weights are there",
        "Failed": "The run has ended without weights",
    },
    GEN_EVALUATION: {
        "SubjectReady": "What is judged, what it is compared with and the data are there",
        "Quantitative": "The numbers passed; False where they did not, Unknown where they did not decide",
        "Human": "People preferred the subject; False while they are asked",
        "Complete": "The verdict stands in status.verdict, whichever it is",
        "Failed": "Measuring has ended without a verdict",
    },
    GEN_DEPLOYMENT: {
        "EngineReady": "The engine that the spec asks for is built",
        "ServerReady": "Every server of the version that the spec asks for answers",
        "Routed": "Requests reach a server",
        "Ready": "Requests are answered, be it by the version before",
        "Progressing": "A version is being built, started or rolled out; carries the reason of the phase either way",
        "EngineFallback": "Another engine serves than the first that was asked for; said only then",
        "RolledBack": "The model that the spec names was rolled back; said only then",
        "Drifted": "What is served has drifted; Unknown where nobody knows. Said where something is watched",
    },
}
