"""Environment, references, quantities and the downward API, as the kubelet has them."""

import pytest

from genops.local.agent import downward, environment
from genops.local.agent.environment import ConfigError, World
from genops.local.agent.expansion import expand
from genops.local.agent.facts import NodeFacts
from genops.local.agent.quantity import in_units_of, parse, whole

NODE = NodeFacts("local", "127.1.0.1", 4, 8 << 30, 100 << 30, "127.0.0.1", 6443)
POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"b": 'x"y', "a": "1"}, "annotations": {}},
    "spec": {"containers": [], "serviceAccountName": "sa"},
}
SERVICE = {
    "metadata": {"name": "my-db", "namespace": "n"},
    "spec": {"clusterIP": "127.1.128.9", "ports": [{"port": 5}]},
}


def world(**sources):
    found = {tuple(name.split("__")): data for name, data in sources.items()}
    return World(POD, "127.1.64.1", NODE, found, [SERVICE])


def variables(container, **sources):
    return environment.variables(container, world(**sources), {"PATH": "/bin"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "a"),
        ("x$(A)y$(B)", "xayb"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$(A", "$(A"),
        ("$A ${A} $", "$A ${A} $"),
        ("$()", "$()"),
        ("", ""),
    ],
)
def test_references(text, expected):
    assert expand(text, {"A": "a", "B": "b"}) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("500m", 0.5),
        ("1Ki", 1024),
        ("1.5Gi", 1.5 * 2**30),
        ("2k", 2000),
        ("1e3", 1000),
        ("3E", 3 * 10**18),
        (7, 7),
    ],
)
def test_quantities(text, number):
    assert parse(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "x", "1x", "1 Gi", "--1", "1KiB"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        parse(text)


def test_quantities_are_rounded_up():
    assert whole("1500m") == 2
    assert in_units_of("1500m", "1") == 2
    assert in_units_of("1500m", "1m") == 1500
    assert in_units_of("1Gi", "1Mi") == 1024
    assert in_units_of("1Gi", "0") == 2**30


def test_later_sources_win_and_earlier_ones_can_be_referred_to():
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}, "prefix": "S_"}],
        "env": [{"name": "X", "value": "$(X)-$(S_K)"}, {"name": "Y", "value": "$(X)"}, {"name": "E"}],
    }
    found = variables(container, ConfigMap__c={"X": "cm", "bad name": "1"}, Secret__s={"K": "sec"})
    assert (found["X"], found["Y"], found["E"], found["PATH"]) == ("cm-sec", "cm-sec", "", "/bin")
    assert "bad name" not in found


def test_services_of_the_namespace_and_the_api_are_told():
    found = variables({})
    assert (found["MY_DB_SERVICE_HOST"], found["MY_DB_SERVICE_PORT"]) == ("127.1.128.9", "5")
    assert (found["KUBERNETES_SERVICE_HOST"], found["KUBERNETES_SERVICE_PORT"]) == ("127.0.0.1", "6443")
    assert found["HOSTNAME"] == "p"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"configMapKeyRef": {"name": "c", "key": "no"}}, "couldn't find key no in ConfigMap n/c"),
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, "secret n/gone not found"),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "env X: fieldPath spec.nope"),
        ({"fileKeyRef": {}}, "fileKeyRef is not supported"),
    ],
)
def test_what_cannot_be_had_is_named(item, message):
    with pytest.raises(ConfigError, match=message):
        variables({"env": [{"name": "X", "valueFrom": item}]}, ConfigMap__c={"k": "v"}, Secret__gone=None)


def test_optional_sources_may_be_missing():
    container = {
        "envFrom": [{"configMapRef": {"name": "gone", "optional": True}}],
        "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": True}}}],
    }
    assert "X" not in variables(container, ConfigMap__gone=None, Secret__s={"k": "v"})


def test_sources_are_listed_once_each():
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}}],
        "env": [
            {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "Y", "value": "1"},
        ],
    }
    assert environment.sources(container) == {("ConfigMap", "c")}


def test_a_container_without_a_command_is_refused():
    with pytest.raises(ConfigError, match="no command specified"):
        environment.command({"args": ["x"]}, {})
    assert environment.command({"command": ["$(A)"], "args": ["b$(A)"]}, {"A": "a"}) == ["a", "ba"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.labels['a']", "1"),
        ("metadata.annotations['none']", ""),
        ("metadata.labels", 'a="1"\nb="x\\"y"'),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "127.1.64.1"),
        ("status.hostIP", "127.1.0.1"),
    ],
)
def test_fields(path, value):
    assert downward.field(POD, path, "127.1.64.1", NODE) == value


def test_a_limit_that_is_not_set_is_what_the_node_has():
    container = {"resources": {"requests": {"cpu": "250m"}}}
    assert downward.resource(container, {"resource": "limits.cpu"}, NODE) == "4"
    assert downward.resource(container, {"resource": "requests.cpu", "divisor": "1m"}, NODE) == "250"
    assert downward.resource(container, {"resource": "requests.memory"}, NODE) == "0"
